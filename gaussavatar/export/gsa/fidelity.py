"""How far what a ``.gsa`` file draws is from what the avatar itself draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.export.gsa.branch import ROWS, LinearBranch
from gaussavatar.export.gsa.linear import BRANCHES, fitted_frames
from gaussavatar.export.gsa.read import DRAWN, GsaAvatar
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.types import Activated, Cameras

GREY = 0.5
FRAMES = 4
"""Frames of the filmed track, evenly over it, that are drawn to compare."""
FARTHEST_PERCENT = 99.0
"""Of all Gaussians and frames: how far these stay from where they should be is what a baked basis is judged by."""


def psnr(avatar: LoadedAvatar, file: GsaAvatar, frames: int = FRAMES) -> float:
    """PSNR in dB of the head as the file draws it against the avatar's own picture, over grey, without 8-bit rounding.

    Both are drawn by the avatar's rasterizer at its own size, as the clip's camera stood.
    """
    track = fitted_frames(avatar, frames)
    grey = torch.full((1, avatar.size, avatar.size, 3), GREY, device=avatar.device)
    wrong = [_squared(avatar, file, track.frames(k, k + 1), grey) for k in range(len(track))]
    return float(-10 * np.log10(max(float(np.mean(wrong)), 1e-12)))


def _squared(avatar: LoadedAvatar, file: GsaAvatar, frame: MotionTrack, grey: Float[Tensor, "1 h w 3"]) -> float:
    pose, K = frame.T_camera_world, avatar.tensor(avatar.K)[None]
    cameras = Cameras(avatar.tensor(pose), K, avatar.size, avatar.size)
    codes, upper = avatar.tensor(frame.mouth_codes), avatar.tensor(frame.upper)
    with torch.no_grad():
        own = avatar.model.render(avatar.rasterizer, codes, upper, cameras, grey).image
        parts = file.gaussians(FaceState(frame.mouth_codes[0], frame.upper[0]), pose[0, :3, :3], pose[0, :3, :3])
        image = grey
        for name in reversed(DRAWN):
            if name in parts:
                layer = avatar.rasterizer(batched(parts[name], avatar.device), cameras)
                image = layer.rgb + (1 - layer.alpha)[..., None] * image
    return float((image - own).square().mean())


def batched(gaussians: Activated, device: torch.device) -> Activated:
    """A single set as a batch of one."""
    return Activated(*(getattr(gaussians, part.name)[None].to(device) for part in fields(Activated)))


def strayed(avatar: LoadedAvatar, branches: Mapping[str, LinearBranch]) -> float:
    """How far Gaussians stray from where the avatar has them, in pixels of its own picture: 99 of 100 stay nearer.

    Over frames of the filmed track, the moving Gaussians of all branches.
    """
    track, far = fitted_frames(avatar), []
    for index in range(len(track)):
        frame = track.frames(index, index + 1)
        mouth, upper, T = frame.mouth_codes[0], frame.upper[0], frame.T_camera_world[0]
        with torch.no_grad():
            own = avatar.model.activate(avatar.tensor(mouth)[None], avatar.tensor(upper)[None])
        for name, branch in branches.items():
            codes = mouth if name == "mouth" else np.concatenate([mouth, upper])
            m = branch.n_moving
            there = own[BRANCHES.index(name)].means[0, :m].cpu().numpy()
            here = branch.rows(codes)[ROWS["position"], :m].T
            far.append(np.linalg.norm(pixels(here, T, avatar.K) - pixels(there, T, avatar.K), axis=1))
    return float(np.percentile(np.concatenate(far), FARTHEST_PERCENT))


def pixels(
    points: Float32[np.ndarray, "m 3"], T_camera_head: Float32[np.ndarray, "4 4"], K: Float32[np.ndarray, "3 3"]
) -> Float32[np.ndarray, "m 2"]:
    """Where points of head space are seen."""
    seen = (points @ T_camera_head[:3, :3].T + T_camera_head[:3, 3]) @ K.T
    return seen[:, :2] / np.maximum(seen[:, 2:], 1e-3)
