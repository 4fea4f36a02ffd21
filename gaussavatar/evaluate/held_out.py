"""The held-out frames of an avatar's own clip, the ways to drive them, and drawing them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar, to_bytes
from gaussavatar.capture.store import load_capture
from gaussavatar.errors import UserError
from gaussavatar.evaluate.metrics import FaceSeries
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.media.sound_file import read_audio
from gaussavatar.native.threads import set_threads
from gaussavatar.segmentation.records import load_segmentation
from gaussavatar.storage import read_arrays
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.data import Clip, cameras_of, open_clip
from gaussavatar.training.layout import FitLayout
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


@dataclass(frozen=True)
class Evaluated:
    """What came of the held-out frames: by way of driving the figures, the pictures and the faces found in them."""

    figures: dict[str, Any]
    rendered: dict[str, np.ndarray]
    faces: dict[str, FaceSeries]
    real: np.ndarray
    real_faces: FaceSeries


def open_held_out(folder: Path) -> HeldOut:
    """Load an avatar with the capture it was fitted on.

    Raises:
        UserError: the capture folder was deleted.
    """
    avatar = load_avatar(folder)
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
