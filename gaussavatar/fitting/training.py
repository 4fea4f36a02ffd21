"""The stages from records on disk to an avatar and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float

from gaussavatar import __version__
from gaussavatar.audio.batches import AudioBatcher
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.avatar.folder import write_record
from gaussavatar.avatar.record import record_from_plain, record_to_plain
from gaussavatar.avatar.voice import voice_arrays
from gaussavatar.capture.store import load_capture
from gaussavatar.evaluate.evaluate import evaluate_avatar
from gaussavatar.fitting.preparation import Job, file_key_of
from gaussavatar.fitting.recipe import FitConfig, dump_config
from gaussavatar.fitting.speech import bank_of, speech_networks
from gaussavatar.fitting.stages import Stage, stage_keys
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.media.sound_file import read_audio
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.progress import Progress
from gaussavatar.render.api import get_rasterizer
from gaussavatar.segmentation.records import Segmentation, load_segmentation
from gaussavatar.storage import atomic_path, content_key, read_json, write_json
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.head.fit import arkit_track
from gaussavatar.tracking.head.track import HeadTrack, load_head_track
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.accents import fit_accents
from gaussavatar.training.arkit import fit_arkit_map
from gaussavatar.training.aside import lay_aside
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip, closed_mouth, leave_out_empty, open_clip
from gaussavatar.training.live import write_description
from gaussavatar.training.loop import PosePass, Run, train
from gaussavatar.training.loss_design import face_marks
from gaussavatar.training.loss_network import perceptual_net
from gaussavatar.training.poses import refine_poses
from gaussavatar.training.publish import final_poses, light_arrays, record_of, torch_closed, write_parts
from gaussavatar.training.shoulders import lay_shoulders
from gaussavatar.training.start.build import build_model
from gaussavatar.training.torso_task import TorsoTask
from gaussavatar.training.unseen import complete_unseen


@dataclass(frozen=True)
class Prepared:
    """What preparation left, as training reads it."""

    segmentation: Segmentation
    clip: Clip
    closed: Float[np.ndarray, "m"]
    """Mouth codes of the closed mouth."""
    heard: AudioBatcher
    """The clip's sound."""
    head: HeadTrack


def training_stages(job: Job, device: torch.device, prepared: Sequence[Stage]) -> tuple[Stage, ...]:
    """Training, the avatar's record, and evaluation.

    Args:
        job: what was asked.
        device: where to train; no part of the key, so that a run may go on elsewhere.
        prepared: the stages before these.
    """
    config, plain = job.config, msgspec.to_builtins
    weights = config.training.perceptual_weights
    training = replace(config.training, perceptual_weights=file_key_of(Path(weights) if weights else None))
    inputs = (plain(config.model), plain(training), plain(config.audio), job.request.seed)
    reads = ("capture", "landmarks", "tracking", "sound", "head", "masks", "appearance")
    stage = Stage("training", 4, inputs, lambda _: None, reads)
    # A torso that is wished for later is fitted to what the head's finished training left, which this key names.
    key = stage_keys((*prepared, stage))["training"]
    inputs = (*inputs, plain(config.torso) if config.torso.enabled else None)
    request, speaking = job.request, plain(config.speaking)
    said = (speaking, request.subject, request.consent, request.video.name, request.recipe)
    return (
        replace(stage, inputs=inputs, work=lambda _: _train(job, device, key)),
        Stage("avatar", 1, said, lambda _: _write_record(job), ("training",)),
        Stage(
            "evaluation",
            2,
            (speaking,),
            lambda _: evaluate_avatar(job.layout.folder, None, job.progress, device=job.request.device),
            ("training",),
        ),
    )


def _train(job: Job, device: torch.device, key: str) -> None:
    """Pre-train the audio encoder, train the avatar, write all of its folder but the record."""
    config, seed, progress, layout = job.config, job.request.seed, job.progress, job.layout
    _write_config(job)
    prepared = open_prepared(job)
    networks = speech_networks(job, device, prepared.heard, prepared.clip, prepared.closed)
    run = start_run(job, device, key, prepared, networks.best)
    behind = prepared.segmentation.layout
    under, plate = (str(path.relative_to(layout.folder)) for path in (behind.under, behind.plate))
    later = _torso_tasks(run, config, prepared)
    stages = config.training.stages + tuple(stage for task in later for stage in task.stages)
    write_description(run, stages, under, plate)
    clip = train(run, config.training, _pose_pass(device, layout.train, key), progress, later)
    if config.training.backing:
        with progress.stage("unseen sides", 1) as advance:
            complete_unseen(run.model, run.rasterizer, clip, prepared.head.head, config.training.backing, seed)
            lay_aside(run.model, run.rasterizer, clip)
            advance(1)
    run.model.cpu()
    run.encoder.cpu()
    final_poses(layout.poses, clip)
    plate, static = prepared.segmentation.plate(), prepared.segmentation.static_camera
    torso = later[0].torso.cpu() if later else lay_shoulders(clip, prepared.head, plate if static else None, seed)
    more = _expression(job, prepared) | voice_arrays(prepared.heard.own)
    parts = (run.model, run.encoder, clip, prepared.closed, plate, torso)
    facts = _trained_facts(job, prepared.segmentation)
    if networks.light is not None:
        more |= light_arrays(networks.light, networks.blend)
        facts |= {"light": networks.light.config, "light_share": config.audio.light_share}
    write_parts(layout.folder, *parts, static_camera=static, more=more)
    record = record_of(run.model, run.encoder, clip, facts)
    write_json(layout.trained, record_to_plain(record))


def _expression(job: Job, prepared: Prepared) -> dict[str, np.ndarray]:
    """Map from ARKit's shapes and accents, from the training part of the clip; seconds, or a fit for FLAME's heads."""
    tracking, clip = load_tracking(job.capture.tracking), prepared.clip
    named = arkit_track(prepared.head, load_landmarks(job.capture.landmarks), tracking)
    used = tracking.valid & (np.arange(len(tracking.valid)) < clip.n_train)
    audio = load_capture(job.capture.folder).audio
    assert audio is not None
    accents = fit_accents(clip.motion, tracking, read_audio(audio), used)
    shown = ", ".join(f"{name} {share:.0%}" for name, share in accents.following.items())
    job.progress.say(f"what follows the stress of speech (variance explained on held-out blocks): {shown or 'nothing'}")
    return {**fit_arkit_map(named, clip.motion, prepared.closed, used).arrays(), **accents.arrays()}


def _write_record(job: Job) -> None:
    """Say whose avatar it is and how it speaks; this makes the folder an avatar."""
    request, path = job.request, job.layout.trained
    record = replace(
        record_from_plain(read_json(path), path),
        drive=job.config.speaking,
        subject=request.subject,
        consent=request.consent,
        source=request.video.name,
        recipe=request.recipe,
    )
    write_record(job.layout.folder, record)
    _write_config(job)


def _write_config(job: Job) -> None:
    """The whole recipe as it was used, beside what it made."""
    with atomic_path(job.layout.config) as temporary:
        temporary.write_text(dump_config(job.config))


def open_prepared(job: Job) -> Prepared:
    """Read the records; frames that show nothing to learn from are left out.

    Raises:
        UserError: a record is missing or damaged, or too little can be learnt from.
    """
    layout, config = job.capture, job.config
    capture = load_capture(layout.folder)
    segmentation = load_segmentation(layout.segmentation(config.image_size).folder)
    motion = load_motion(layout.motion)
    clip = open_clip(
        segmentation,
        load_tracking(layout.tracking),
        motion,
        load_landmarks(layout.landmarks),
        config.training.held_out,
    )
    clip = leave_out_empty(clip, job.progress.say)
    assert capture.audio is not None
    heard = bank_of(job, read_audio(capture.audio))
    return Prepared(segmentation, clip, closed_mouth(motion), heard, load_head_track(layout.folder))


def start_run(job: Job, device: torch.device, key: str, prepared: Prepared, encoder: AudioEncoder) -> Run:
    """Everything that the loop trains and reads, before its first step."""
    config, seed, layout = job.config, job.request.seed, job.layout
    net = perceptual_net(config.training)
    return Run(
        model=build_model(prepared.clip, config.model, seed, prepared.head).to(device),
        encoder=encoder.to(device),
        audio=prepared.heard.narrowed(config.audio.features),
        clip=prepared.clip,
        closed=torch_closed(prepared.closed).to(device),
        marks=face_marks(prepared.clip.tracking.shape, device),
        rasterizer=get_rasterizer(device),
        folder=layout.train,
        seed=seed,
        key=key,
        device=device,
        perceptual=None if net is None else net.to(device),
        intervals=config.progress,
    )


def _pose_pass(device: torch.device, folder: Path, key: str) -> PosePass:
    """The pass that refines poses, on the device that trains."""

    def refine(stage: StageConfig, model: AvatarModel, clip: Clip, progress: Progress) -> Clip:
        return refine_poses(stage, model, clip, get_rasterizer(device), folder, key, progress)

    return refine


def _trained_facts(job: Job, segmentation: Segmentation) -> dict[str, Any]:
    """What training says of the avatar besides its shapes."""
    training = job.config.training
    refined = any(stage.kind == "poses" for stage in training.stages)
    return {
        "seed": job.request.seed,
        "static_camera": segmentation.static_camera,
        "pose_protocol": "photometrically refined" if refined else "landmarks",
        "held_out": training.held_out,
        "program": __version__,
    }


def _torso_tasks(run: Run, config: FitConfig, prepared: Prepared) -> tuple[TorsoTask, ...]:
    """The training of the torso branch, where the recipe wants one."""
    if not config.torso.enabled:
        return ()
    plate = prepared.segmentation.plate() if prepared.segmentation.static_camera else None
    key = content_key("torso 2", run.key, msgspec.to_builtins(config.torso))
    return (TorsoTask(config.torso, prepared.head, plate, run.rasterizer, run.seed, key, run.device),)
