"""The held-out figures: audio-driven, oracle (real mouth codes), static, and audio shifted by eight frames."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from gaussavatar.avatar.player import LoadedAvatar, load_avatar, to_bytes
from gaussavatar.capture.store import load_capture
from gaussavatar.errors import UserError
from gaussavatar.evaluate.metrics import LANDMARK_SIZE, FaceSeries, compare_faces, psnr
from gaussavatar.evaluate.perceptual import perceptual_figures
from gaussavatar.image.losses import ssim
from gaussavatar.image.perceptual import PerceptualLoss
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.landmarks.face_mesh import FaceMesh
from gaussavatar.landmarks.measures import eye_openness, lip_aperture, lip_width
from gaussavatar.media.ffmpeg import read_audio
from gaussavatar.media.images import resize, write_image
from gaussavatar.native.library import set_threads
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.segmentation.records import load_segmentation
from gaussavatar.storage import read_arrays, write_json
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.data import Clip, cameras_of, open_clip
from gaussavatar.training.poses import with_poses

SHIFT = 8
"""Frames by which the audio is shifted to see whether the lips follow it."""

CHUNK = 4
"""Frames rendered per call, in parallel."""


@dataclass(frozen=True)
class HeldOut:
    """The held-out frames of an avatar's own clip and the avatar."""

    avatar: LoadedAvatar
    clip: Clip
    indices: np.ndarray
    spoken: Float[np.ndarray, "n m"]
    """Mouth codes of every frame of the clip, from its audio."""


def open_held_out(folder: Path) -> HeldOut:
    """Load an avatar with the capture it was fitted on.

    Raises:
        UserError: the capture folder was deleted.
    """
    avatar = load_avatar(folder)
    capture_folder = folder / "capture"
    if not (capture_folder / "capture.json").exists():
        raise UserError(
            f"the captured frames in {capture_folder}", "a folder without them", "fit the avatar again to evaluate it"
        )
    capture = load_capture(capture_folder)
    segmentation = load_segmentation(capture_folder / f"segmentation_{avatar.size}")
    landmarks = load_landmarks(capture_folder / "landmarks.safetensors")
    motion = load_motion(capture_folder / "motion.safetensors")
    tracking = load_tracking(capture_folder / "tracking.safetensors")
    clip = open_clip(segmentation, tracking, motion, landmarks, avatar.header["held_out"])
    poses, _ = read_arrays(folder / "train" / "poses.safetensors")
    clip = with_poses(clip, poses["R_camera_head"], poses["t_camera_head"])
    indices = np.arange(clip.n_train, len(clip))
    indices = indices[clip.usable[indices]]
    if capture.audio is None or len(indices) == 0:
        raise UserError("held-out frames with sound", "none", "fit the avatar again on a clip with sound")
    spoken = avatar.codes_for_audio(read_audio(capture.audio), len(clip))
    return HeldOut(avatar, clip, indices, spoken)


def render_held_out(
    held: HeldOut, codes: Float[np.ndarray, "k m"], upper: Float[np.ndarray, "k u"]
) -> UInt8[np.ndarray, "k h w 3"]:
    """Full composites of the held-out frames, 8 bits."""
    images = []
    for start in range(0, len(held.indices), CHUNK):
        part = slice(start, start + CHUNK)
        indices = held.indices[part]
        under = torch.from_numpy(held.clip.under.read_batch(indices.tolist())).float() / 255
        cameras = cameras_of(held.clip.tracking, indices, held.clip.size)
        image = held.avatar.render_float(
            torch.from_numpy(codes[part]).float(), torch.from_numpy(upper[part]).float(), cameras, under
        )
        images.append(to_bytes(image))
    return np.concatenate(images)


def measure_faces(images: Sequence[np.ndarray] | np.ndarray) -> FaceSeries:
    """Landmarks and lip and eye measures of consecutive frames, at :data:`LANDMARK_SIZE`."""
    points = np.full((len(images), 478, 3), np.nan, np.float32)
    with FaceMesh() as mesh:
        for index, image in enumerate(images):
            found = mesh.detect(resize(image, LANDMARK_SIZE))
            if found is not None:
                points[index] = found
    return FaceSeries(points, lip_aperture(points), lip_width(points), eye_openness(points).mean(axis=-1))


def picture_figures(rendered: np.ndarray, real: np.ndarray, masks: np.ndarray, boxes: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM, mean over frames: full composite, head (real head mask), mouth (box around the lips)."""
    rows = []
    for image, truth, mask, box in zip(rendered, real, masks, boxes, strict=True):
        head = mask[..., 0] > 127
        mouth = np.zeros(head.shape, bool)
        x0, y0, x1, y1 = box[0].astype(int)
        mouth[y0:y1, x0:x1] = True
        pair = (torch.from_numpy(a[None]).float() / 255 for a in (image, truth))
        similarity = ssim(*pair)[0].numpy()
        similarity = similarity.mean(axis=-1) if similarity.ndim == 3 else similarity
        rows.append(
            (
                psnr(image, truth),
                psnr(image, truth, head),
                psnr(image, truth, mouth),
                float(similarity.mean()),
                float(similarity[head].mean()),
            )
        )
    names = ("psnr_full", "psnr_head", "psnr_mouth", "ssim_full", "ssim_head")
    return dict(zip(names, np.nanmean(np.array(rows), axis=0).tolist(), strict=True))


def drives(held: HeldOut) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mouth codes and upper-face channels of each way to drive the held-out frames."""
    motion, indices, last = held.clip.motion, held.indices, len(held.clip) - 1
    upper = motion.upper[indices]
    rest = np.tile(motion.mouth_codes[: held.clip.n_train].mean(axis=0), (len(indices), 1))
    rest_upper = np.tile(motion.upper[: held.clip.n_train].mean(axis=0), (len(indices), 1))
    return {
        "audio": (held.spoken[indices], upper),
        "oracle": (motion.mouth_codes[indices], upper),
        "static": (rest, rest_upper),
        "audio_early": (held.spoken[np.clip(indices + SHIFT, 0, last)], upper),
        "audio_late": (held.spoken[np.clip(indices - SHIFT, 0, last)], upper),
    }


def evaluate_held_out(held: HeldOut, progress: Progress) -> tuple[dict[str, Any], dict[str, np.ndarray], np.ndarray]:
    """Figures of every drive, its rendered frames, and the real frames."""
    real = held.clip.frames.read_batch(held.indices.tolist())
    masks = held.clip.masks.read_batch(held.indices.tolist())
    boxes = held.clip.boxes[held.indices]
    ways = drives(held)
    figures: dict[str, Any] = {}
    rendered = {}
    with progress.stage("evaluation", 2 * len(ways) + 1) as advance, ThreadPoolExecutor(2) as pool:
        measured = {"real": pool.submit(measure_faces, real)}
        for name, (codes, upper) in ways.items():
            rendered[name] = render_held_out(held, codes, upper)
            measured[name] = pool.submit(measure_faces, rendered[name])
            advance(1)
        truth = measured["real"].result()
        advance(1)
        for name in ways:
            figures[name] = compare_faces(measured[name].result(), truth)
            if not name.startswith("audio_"):
                figures[name] |= picture_figures(rendered[name], real, masks, boxes)
            advance(1)
    shifted = max(figures.pop("audio_early")["lip_r"], figures.pop("audio_late")["lip_r"])
    figures["audio"]["lip_r_shifted"] = shifted
    figures["audio"]["lip_r_drop"] = figures["audio"]["lip_r"] - shifted
    return figures, rendered, real


def rendering_speed(held: HeldOut, repetitions: int = 30) -> float:
    """Frames per second of deformation and rendering on one thread, lower quartile of the times."""
    index = held.indices[:1]
    cameras = cameras_of(held.clip.tracking, index, held.clip.size)
    under = torch.from_numpy(held.clip.under.read_batch(index.tolist())).float() / 255
    codes = torch.from_numpy(held.spoken[index]).float()
    upper = torch.from_numpy(held.clip.motion.upper[index]).float()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    set_threads(1)
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        held.avatar.render_float(codes, upper, cameras, under)
        times.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    set_threads(None)
    return float(1 / np.quantile(times, 0.25))


def evaluate_avatar(
    folder: Path, save_frames: Path | None, progress: Progress, lpips_weights: Path | None = None
) -> dict[str, Any]:
    """Recompute the held-out figures; writes ``report/metrics.json`` and, if asked, lossless frames.

    ``lpips_weights`` adds perceptual figures, see :class:`~gaussavatar.image.perceptual.PerceptualLoss`.

    Raises:
        UserError: the avatar or the weights are damaged, or its capture folder is gone.
    """
    net = None if lpips_weights is None else PerceptualLoss(lpips_weights)
    with frame_parallel():
        held = open_held_out(folder)
        figures, rendered, real = evaluate_held_out(held, progress)
        if net is not None:
            progress.say(f"perceptual figures: {net.title}")
            masks, boxes = held.clip.masks.read_batch(held.indices.tolist()), held.clip.boxes[held.indices]
            for name in figures:
                figures[name] |= perceptual_figures(net, rendered[name], real, masks, boxes)
    metrics = {
        "pose_protocol": held.avatar.header["pose_protocol"],
        "image_size": held.clip.size,
        "held_out_frames": len(held.indices),
        "training_frames": int(held.clip.usable[: held.clip.n_train].sum()),
        "gaussians": {"face": len(held.avatar.model.face.gaussians), "mouth": len(held.avatar.model.mouth.gaussians)},
        "render_fps": round(rendering_speed(held), 1),
        **({} if net is None else {"perceptual_network": net.title}),
        **{name: {key: round(value, 4) for key, value in values.items()} for name, values in figures.items()},
    }
    write_json(folder / "report" / "metrics.json", metrics)
    if save_frames is not None:
        for index, image, truth in zip(held.indices, rendered["audio"], real, strict=True):
            write_image(save_frames / f"rendered_{index:06d}.png", image)
            write_image(save_frames / f"real_{index:06d}.png", truth)
    from gaussavatar.evaluate.publish import publish

    publish(folder, held, metrics, rendered, real)
    return metrics
