"""Writing an avatar folder from a trained model and its clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.own_range import OwnRange
from gaussavatar.avatar.finding import HEADER
from gaussavatar.avatar.folder import MATTE, PLATE, TORSO, TRACK, UNDER, WEIGHTS
from gaussavatar.avatar.load import model_shapes
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.avatar.torso import write_torso
from gaussavatar.image.cutout import torso_matte
from gaussavatar.intervals import true_runs
from gaussavatar.media.images import write_image
from gaussavatar.media.writing import write_video
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.torso import Torso, slow_motion
from gaussavatar.storage import write_arrays
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.types import VIDEO_FPS, FaceMotion

LONGEST_TRACK = 40 * VIDEO_FPS
"""Frames of head motion and torso that an avatar carries; longer speech goes back and forth over them."""


def longest_run(usable: np.ndarray, longest: int = LONGEST_TRACK) -> slice:
    """The longest run of usable frames, cut to ``longest``."""
    runs = true_runs(usable)
    first, last = runs[np.argmax(runs[:, 1] - runs[:, 0])].tolist()
    return slice(first, min(last, first + longest))


def opening_direction(motion: FaceMotion) -> Float[np.ndarray, "m"]:
    """Least-squares mouth codes per unit of lip aperture: what a mouth slider adds."""
    aperture = motion.aperture - motion.aperture.mean()
    codes = motion.mouth_codes - motion.mouth_codes.mean(axis=0)
    return (aperture @ codes / max(float(aperture @ aperture), 1e-9)).astype(np.float32)


def write_parts(
    folder: Path,
    model: AvatarModel,
    encoder: AudioEncoder,
    clip: Clip,
    closed: Float[np.ndarray, "m"],
    plate: np.ndarray,
    torso: Torso | None = None,
    *,
    static_camera: bool = True,
    more: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write every file of the avatar but its record, without which it is none; see :func:`record_of`.

    ``plate`` is what is behind the person where the camera stood still (``static_camera``); ``more`` are
    arrays that go with the weights: the map from ARKit's shapes, accents.
    """
    modules = nn.ModuleDict({"avatar": model, "encoder": encoder})
    arrays = {f"model.{name}": tensor.detach().numpy() for name, tensor in modules.state_dict().items()}
    arrays["closed"] = closed.astype(np.float32)
    arrays["mouth_open_direction"] = opening_direction(clip.motion)
    arrays |= more or {}
    (folder / HEADER).unlink(missing_ok=True)
    write_arrays(folder / WEIGHTS, compact(arrays))
    run = longest_run(clip.usable[: clip.n_train])
    cameras = cameras_of(clip.tracking, np.arange(run.start, run.stop), clip.size)
    track = {
        "T_camera_world": cameras.T_camera_world.numpy(),
        "K": cameras.K[0].contiguous().numpy(),
        "upper": clip.motion.upper[run],
        "mouth_codes": clip.motion.mouth_codes[run],
    }
    write_arrays(folder / TRACK, track)
    under = (clip.under.read(index) for index in range(run.start, run.stop))
    write_video(folder / UNDER, under, VIDEO_FPS, (clip.size, clip.size), crf=14)
    write_image(folder / PLATE, plate)
    behind = plate if static_camera else None
    write_video(folder / MATTE, matte_frames(clip, run, behind), VIDEO_FPS, (clip.size, clip.size), crf=18)
    (folder / TORSO).unlink(missing_ok=True)
    if torso is not None:
        tracking = clip.tracking
        motion = slow_motion(tracking.R_camera_head, tracking.t_camera_head, torso.T_base.numpy())
        write_torso(folder, torso, torso.poses(torch.from_numpy(motion[run])).detach().numpy())


def light_arrays(light: AudioEncoder, blend: OwnRange | None) -> dict[str, np.ndarray]:
    """The light network's tensors, and the range of both together, as an avatar's file has them."""
    arrays = {f"light.{name}": tensor.detach().cpu().numpy() for name, tensor in light.state_dict().items()}
    known = {} if blend is None else asdict(blend)
    return arrays | {f"blend.{name}": array for name, array in known.items()}


def record_of(model: AvatarModel, encoder: AudioEncoder, clip: Clip, facts: Mapping[str, Any]) -> AvatarRecord:
    """The record of an avatar; ``facts`` are fields of it that neither model nor clip know."""
    return AvatarRecord(
        image_size=clip.size,
        model=model.config,
        shapes=model_shapes(model),
        encoder=encoder.config,
        upper_names=clip.motion.upper_names,
        expression_names=tuple(model.expression_names),
        **facts,
    )


def compact(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The blendshapes, nine tenths of the bytes, in 16-bit floats; loading makes 32-bit ones of them again.

    On the anchor clip this changes 2 pixels in 10,000, by 1 grey level (by 2 at most at 512 px).
    """
    basis = {name for name in arrays if name.endswith(".motion.basis")}
    return {name: array.astype(np.float16) if name in basis else array for name, array in arrays.items()}


def matte_frames(clip: Clip, run: slice, plate: np.ndarray | None) -> Iterator[np.ndarray]:
    """The torso's share of every torso frame of the pose track, as grey pictures."""
    for index in range(run.start, run.stop):
        matte = torso_matte(clip.frames.read(index), clip.under.read(index), clip.masks.read(index), plate)
        yield np.repeat(matte[..., None], 3, axis=2)


def final_poses(path: Path, clip: Clip) -> None:
    """Store the poses that training ended with, for ``evaluate``."""
    poses = {"R_camera_head": clip.tracking.R_camera_head, "t_camera_head": clip.tracking.t_camera_head}
    write_arrays(path, {name: array.astype(np.float32) for name, array in poses.items()})


def torch_closed(closed: np.ndarray) -> torch.Tensor:
    """The closed mouth's codes as a tensor."""
    return torch.from_numpy(closed.astype(np.float32))
