"""The held-out frames of an avatar's own clip, the ways to drive them, and drawing them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar, to_bytes
from gaussavatar.capture.store import load_capture
from gaussavatar.errors import UserError
from gaussavatar.evaluate.metrics import FaceSeries
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.media.sound_file import read_audio
from gaussavatar.native.threads import set_threads
from gaussavatar.render.device import DeviceWish
from gaussavatar.segmentation.records import load_segmentation
from gaussavatar.storage import FrameStore, read_arrays
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.data import Clip, cameras_of, open_clip
from gaussavatar.training.layout import FitLayout
from gaussavatar.training.poses import with_poses
from gaussavatar.types import Cameras

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


@dataclass(frozen=True)
class Evaluated:
    """What came of the held-out frames: by way of driving the figures, the pictures and the faces found in them."""

    figures: dict[str, Any]
    rendered: dict[str, FrameStore]
    faces: dict[str, FaceSeries]
    real: FrameStore
    real_faces: FaceSeries


def open_held_out(folder: Path, device: DeviceWish = "cpu") -> HeldOut:
    """Load an avatar, onto a device, with the capture it was fitted on.

    Raises:
        UserError: the capture folder was deleted, or there is no such device.
    """
    avatar = load_avatar(folder, device=device)
    layout = FitLayout(folder)
    captured = layout.capture
    if not captured.record.exists():
        raise UserError(
            f"the captured frames in {captured.folder}", "a folder without them", "fit the avatar again to evaluate it"
        )
    capture = load_capture(captured.folder)
    segmentation = load_segmentation(captured.segmentation(avatar.size).folder)
    landmarks = load_landmarks(captured.landmarks)
    motion = load_motion(captured.motion)
    tracking = load_tracking(captured.tracking)
    clip = open_clip(segmentation, tracking, motion, landmarks, avatar.record.held_out)
    poses, _ = read_arrays(layout.poses)
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
    return np.stack(list(rendered_frames(held, codes, upper)))


def rendered_frames(
    held: HeldOut, codes: Float[np.ndarray, "k m"], upper: Float[np.ndarray, "k u"]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The same one by one, so that a long clip's need no memory."""
    for start in range(0, len(held.indices), CHUNK):
        part = slice(start, start + CHUNK)
        indices = held.indices[part]
        image = held.avatar.render_float(*_driven(held, indices, codes[part], upper[part]))
        yield from to_bytes(image)


def _driven(
    held: HeldOut, indices: Int[np.ndarray, "b"], codes: Float[np.ndarray, "b m"], upper: Float[np.ndarray, "b u"]
) -> tuple[Tensor, Tensor, Cameras, Tensor]:
    """What some frames are rendered from, on the avatar's device."""
    tensor, cameras = held.avatar.tensor, cameras_of(held.clip.tracking, indices, held.clip.size)
    under = torch.from_numpy(held.clip.under.read_batch(indices.tolist())).to(held.avatar.device).float() / 255
    T, K = (part.to(held.avatar.device) for part in (cameras.T_camera_world, cameras.K))
    return tensor(codes), tensor(upper), replace(cameras, T_camera_world=T, K=K), under


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


def rendering_speed(held: HeldOut, repetitions: int = 30) -> float:
    """Frames per second of deformation and rendering on one thread, lower quartile of the times."""
    index = held.indices[:1]
    driven = _driven(held, index, held.spoken[index], held.clip.motion.upper[index])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    set_threads(1)
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        held.avatar.render_float(*driven)
        if held.avatar.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    set_threads(None)
    return float(1 / np.quantile(times, 0.25))
