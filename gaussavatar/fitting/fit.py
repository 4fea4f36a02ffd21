"""``fit`` and ``track`` from end to end: preparation, training, evaluation, and what they leave on disk."""

from __future__ import annotations

import copy
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from gaussavatar import __version__
from gaussavatar.audio.batches import AudioBatcher
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.mel import log_mel
from gaussavatar.audio.pretrain import pretrain_encoder
from gaussavatar.audio.targets import lip_displacement
from gaussavatar.capture.store import load_capture
from gaussavatar.errors import UserError
from gaussavatar.fitting.preparation import Wishes, prepare, run_stage
from gaussavatar.fitting.recipe import FitConfig, dump_config, load_recipe
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.media.ffmpeg import probe, read_audio, require_video
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.torso import Torso
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.quality.records import PAGE_NAME, load_quality
from gaussavatar.segmentation.records import load_segmentation
from gaussavatar.storage import (
    content_key,
    explain_os_error,
    peak_memory_mib,
    read_arrays,
    read_json,
    write_arrays,
)
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.head.track import load_head_track
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip, closed_mouth, leave_out_empty, open_clip
from gaussavatar.training.device import DeviceWish, choose_device
from gaussavatar.training.loss_network import perceptual_net


@dataclass(frozen=True)
class FitResult:
    """Where a fit left its avatar, figures and page."""

    avatar: Path
    metrics: dict[str, Any]
    report: Path


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two fits never write into one folder.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise explain_os_error(error, folder) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder} to be free", "another gaussavatar at work in it", "wait, or use --out"
            ) from error
        yield


def track(
    video: Path,
    out: Path,
    progress: Progress,
    recipe: str = "default",
    wishes: Wishes | None = None,
    overrides: tuple[str, ...] = (),
) -> Path:
    """Preprocess a video and stop; sound is not needed.

    Raises:
        UserError: whatever is wrong with the video or the wishes.
    """
    config = load_recipe(recipe, overrides)
    require_video(probe(video))
    with only_writer(out), frame_parallel():
        prepare(video, out / "capture", config, wishes or Wishes(), False, progress)
    return out / "capture"


def fit(
    video: Path,
    out: Path | None,
    recipe: str,
    overrides: tuple[str, ...],
    subject: str,
    consent: str,
    seed: int,
    wishes: Wishes,
    progress: Progress,
    device: DeviceWish = "auto",
) -> FitResult:
    """Fit an avatar to a video; goes on where a former call with the same inputs stopped.

    Raises:
        UserError: whatever the user can mend, before the hours are spent.
    """
    config = load_recipe(recipe, overrides)
    place = choose_device(device)
    perceptual_net(config.training)
    folder = out or Path("avatars") / video.stem
    require_video(probe(video))
    with only_writer(folder), frame_parallel():
        key = prepare(video, folder / "capture", config, wishes, True, progress)
        # Said before the hours are spent: what the clip is good for, and what to film instead.
        progress.say(f"quality: {load_quality(folder / 'capture').summary}; see {folder / 'capture' / PAGE_NAME}")
        facts = {"subject": subject, "consent": consent, "source": video.name, "recipe": recipe, "seed": seed}
        train_key = content_key(
            "train 1",
            key,
            msgspec.to_builtins(config.model),
            msgspec.to_builtins(config.training),
            msgspec.to_builtins(config.audio),
            seed,
        )
        # A torso that is wished for later is fitted to what the head's finished training left.
        avatar_key = content_key("torso 1", train_key, msgspec.to_builtins(config.torso))
        avatar_key = avatar_key if config.torso.enabled else train_key
        run_stage(
            folder / "capture",
            "training",
            avatar_key,
            lambda: _train(folder, config, seed, train_key, facts, place, progress),
            progress,
        )
        run_stage(folder / "capture", "evaluation", avatar_key, lambda: _evaluate(folder, progress), progress)
    stages = read_json(folder / "capture" / "manifest.json")
    seconds = sum(entry["seconds"] for entry in stages.values())
    progress.say(f"all stages: {seconds / 60:.1f} minutes, peak memory {peak_memory_mib()} MiB")
    return FitResult(folder, read_json(folder / "report" / "metrics.json"), folder / "report" / "report.html")


def _evaluate(folder: Path, progress: Progress) -> None:
    from gaussavatar.evaluate.evaluate import evaluate_avatar

    evaluate_avatar(folder, None, progress)


def _train(
    folder: Path,
    config: FitConfig,
    seed: int,
    key: str,
    facts: dict[str, Any],
    device: torch.device,
    progress: Progress,
) -> None:
    """Pre-train the audio encoder, train the avatar, write its folder."""
    from gaussavatar.render.api import get_rasterizer
    from gaussavatar.training.live import write_description
    from gaussavatar.training.loop import Run, train
    from gaussavatar.training.poses import refine_poses
    from gaussavatar.training.publish import final_poses, torch_closed, write_avatar
    from gaussavatar.training.start.build import build_model
    from gaussavatar.training.unseen import complete_unseen

    capture_folder, train_folder = folder / "capture", folder / "train"
    train_folder.mkdir(parents=True, exist_ok=True)
    (train_folder / "config.yaml").write_text(dump_config(config))
    capture = load_capture(capture_folder)
    segmentation = load_segmentation(capture_folder / f"segmentation_{config.image_size}")
    motion = load_motion(capture_folder / "motion.safetensors")
    clip = open_clip(
        segmentation,
        load_tracking(capture_folder / "tracking.safetensors"),
        motion,
        load_landmarks(capture_folder / "landmarks.safetensors"),
        config.training.held_out,
    )
    clip = leave_out_empty(clip, progress.say)
    closed = closed_mouth(motion)
    assert capture.audio is not None
    mel = log_mel(read_audio(capture.audio))
    encoder = _pretrained(train_folder, config, mel, clip, closed, seed, key, progress)
    head = load_head_track(capture_folder)
    run = Run(
        model=build_model(clip, config.model, seed, head).to(device),
        encoder=encoder.to(device),
        audio=AudioBatcher(mel, config.audio.batches, seed),
        clip=clip,
        closed=torch_closed(closed).to(device),
        rasterizer=get_rasterizer(device),
        folder=train_folder,
        seed=seed,
        key=key,
        device=device,
        perceptual=None if (net := perceptual_net(config.training)) is None else net.to(device),
    )

    def pose_pass(stage: StageConfig, model: AvatarModel, current: Clip, report: Progress) -> Clip:
        # The pass is written for the native rasterizer; a copy leaves what is trained on the GPU where it is.
        here = model if device.type == "cpu" else copy.deepcopy(model).cpu()
        return refine_poses(stage, here, current, get_rasterizer("cpu"), train_folder, key, report)

    near = f"capture/segmentation_{config.image_size}"
    write_description(run, config.training.stages, f"{near}/under.u8", f"{near}/plate.png")
    clip = train(run, config.training, pose_pass, progress)
    if config.training.backing:
        with progress.stage("unseen sides", 1) as advance:
            complete_unseen(run.model, run.rasterizer, clip, head.head, config.training.backing, seed)
            advance(1)
    run.model.cpu()
    run.encoder.cpu()
    final_poses(train_folder / "poses.safetensors", clip)
    refined = any(stage.kind == "poses" for stage in config.training.stages)
    protocol = "photometrically refined" if refined else "landmarks"
    facts |= {"static_camera": segmentation.static_camera}
    facts = facts | {
        "drive": config.speaking,
        "pose_protocol": protocol,
        "held_out": config.training.held_out,
        "program": __version__,
    }
    plate = segmentation.plate()
    torso = _torso(folder, config, seed, key, clip, plate if segmentation.static_camera else None, progress)
    write_avatar(folder, run.model, run.encoder, clip, closed, plate, facts, torso)


def _torso(
    folder: Path, config: FitConfig, seed: int, key: str, clip: Clip, plate: np.ndarray | None, progress: Progress
) -> Torso | None:
    """The torso branch, where the recipe wants one; kept in ``train/`` for a resumed run."""
    if not config.torso.enabled:
        return None
    from gaussavatar.render.api import get_rasterizer
    from gaussavatar.training.torso import fit_torso

    head, path = load_head_track(folder / "capture"), folder / "train" / "torso.safetensors"
    key = content_key("torso 1", key, msgspec.to_builtins(config.torso))
    return fit_torso(clip, plate, head, config.torso, get_rasterizer("cpu"), seed, path, key, progress)


def _pretrained(
    folder: Path,
    config: FitConfig,
    mel: np.ndarray,
    clip: Any,
    closed: np.ndarray,
    seed: int,
    key: str,
    progress: Progress,
) -> AudioEncoder:
    """The audio encoder after pre-training on the landmark motion; kept in ``folder`` for a resumed run."""
    path = folder / "encoder.safetensors"
    train_mask = clip.usable.copy()
    train_mask[clip.n_train :] = False
    if path.exists():
        try:
            arrays, metadata = read_arrays(path)
        except UserError as error:
            progress.say(f"{path} cannot be read ({error.came}); the audio encoder is pre-trained again")
            arrays, metadata = {}, {}
        if metadata.get("key") == key:
            encoder = AudioEncoder(msgspec.json.decode(metadata["config"].encode(), type=EncoderConfig))
            encoder.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
            return encoder
    with progress.stage("audio pre-training", config.audio.steps) as advance:
        encoder = pretrain_encoder(
            mel,
            clip.motion.mouth_codes,
            train_mask,
            closed,
            config.audio,
            seed,
            displacement=lip_displacement(clip.motion),
            advance=advance,
        )
    arrays = {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}
    write_arrays(path, arrays, {"key": key, "config": msgspec.json.encode(encoder.config).decode()})
    return encoder
