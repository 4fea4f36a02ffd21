"""A branch of an avatar as Gaussians at rest and bases: exactly where it is linear already, else by least squares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.export.gsa.branch import ROWS, AsideColours, FreeNet, Lighting, LinearBranch
from gaussavatar.model.avatar import Branch, frontal_camera
from gaussavatar.model.deform.blendshapes import Blendshapes
from gaussavatar.model.gaussians import CHANNEL_WIDTH, CHANNELS, MOTION_SCALE, Gaussians
from gaussavatar.model.harmonics import view_colors
from gaussavatar.model.shading import UNIT
from gaussavatar.motion.track import MotionTrack
from gaussavatar.types import Activated

BRANCHES = ("face", "mouth")
BAKED_FRAMES = 240
"""Frames of the filmed track that a basis is fitted to, evenly over it."""
RIDGE = 1e-3
"""Of the least squares, per frame: codes have a deviation of about 1."""
_CHUNK = 8


def is_linear(avatar: LoadedAvatar) -> bool:
    """Whether the avatar's bases are exact: free blendshapes."""
    return avatar.model.rig is None and all(isinstance(_branch(avatar, name).motion, Blendshapes) for name in BRANCHES)


def linear_branches(avatar: LoadedAvatar) -> dict[str, LinearBranch]:
    """The branches that have Gaussians, by name. Colours that depend on the view are those of the view from the front.

    Everything but free blendshapes is fitted: see :func:`baked`.
    """
    made = {}
    for name in BRANCHES:
        branch = _branch(avatar, name)
        if len(branch.gaussians):
            made[name] = _own(branch) if is_linear(avatar) else baked(avatar, name)
    return made


def _branch(avatar: LoadedAvatar, name: str) -> Branch:
    return getattr(avatar.model, name)


def raw_rows(gaussians: Gaussians) -> Float32[np.ndarray, "14 n"]:
    """Raw Gaussians as rows of :data:`ROWS`; colours of harmonics as seen from the front."""
    colors = gaussians.colors
    if gaussians.sh is not None:
        colors = colors + view_colors(gaussians.means[None], gaussians.sh, frontal_camera().to(colors))[0]
    parts = (gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logit_opacities[:, None], colors)
    return torch.cat(parts, dim=1).T.contiguous().detach().cpu().numpy()


def _own(branch: Branch) -> LinearBranch:
    motion, moves = branch.motion, branch.config.moves
    assert isinstance(motion, Blendshapes)
    basis = motion.basis.detach().cpu().float().numpy().reshape(len(motion.basis), -1, motion.width)
    units = np.concatenate([np.full(CHANNEL_WIDTH[channel], MOTION_SCALE[channel]) for channel in moves])
    free = None
    if motion.free is not None:
        free = FreeNet(*(tensor.detach().cpu().float().numpy() for tensor in motion.free.parameters()))
    codes = len(basis) - (0 if free is None else len(free.b1))
    scaled = np.ascontiguousarray((basis * units).transpose(0, 2, 1), np.float32)
    return LinearBranch(raw_rows(branch.gaussians), scaled, moves, codes, free, _lighting(branch), _aside(branch))


def _lighting(branch: Branch) -> Lighting | None:
    shading = branch.shading
    if shading is None:
        return None
    slopes = UNIT * shading.slopes.detach().cpu().numpy().T
    rest, spread = (tensor.detach().cpu().numpy() for tensor in (shading.R_camera_rest, shading.spread))
    return Lighting(np.ascontiguousarray(slopes, np.float32), rest, spread)


def _aside(branch: Branch) -> AsideColours | None:
    if branch.aside is None:
        return None
    change, ahead, reach = (tensor.detach().cpu().numpy() for tensor in branch.aside.buffers())
    return AsideColours(np.ascontiguousarray(change.T, np.float32), ahead, float(reach))


def fitted_frames(avatar: LoadedAvatar, most: int = BAKED_FRAMES) -> MotionTrack:
    """Frames evenly over the filmed track."""
    count = len(avatar.filmed)
    return avatar.filmed.taken(np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)))


def baked(avatar: LoadedAvatar, name: str) -> LinearBranch:
    """A basis that comes nearest to what a branch does over the clip's codes: ridge regression of its raw Gaussians."""
    branch, track = _branch(avatar, name), fitted_frames(avatar)
    moving = branch.gaussians.n_moving
    rest = raw_rows(branch.gaussians)
    codes = _codes(avatar, name, track)
    inputs = np.concatenate([np.ones((len(codes), 1)), codes], axis=1)
    moments = np.zeros((inputs.shape[1], 14, moving))
    for start, rows in _raw_motion(avatar, name, track, rest[:, :moving]):
        moments += np.einsum("bk,brm->krm", inputs[start : start + len(rows)], rows)
    cost = RIDGE * len(codes) * np.eye(inputs.shape[1])
    cost[0, 0] = 0
    solved = np.linalg.solve(inputs.T @ inputs + cost, moments.reshape(len(moments), -1)).reshape(moments.shape)
    base = rest.copy()
    base[:, :moving] += solved[0].astype(np.float32)
    moves = CHANNELS if "opacity" in branch.config.moves else CHANNELS[:-1]
    basis = np.concatenate([solved[1:, ROWS[channel]] for channel in moves], axis=1).astype(np.float32)
    return LinearBranch(base, basis, moves, codes.shape[1], None, _lighting(branch), _aside(branch))


def _codes(avatar: LoadedAvatar, name: str, track: MotionTrack) -> Float[np.ndarray, "t c"]:
    mouth = track.mouth_codes.astype(float)
    return mouth if name == "mouth" else np.concatenate([mouth, track.upper], axis=1)


def _raw_motion(
    avatar: LoadedAvatar, name: str, track: MotionTrack, rest: Float32[np.ndarray, "14 m"]
) -> Iterator[tuple[int, Float[np.ndarray, "b 14 m"]]]:
    """What the moving Gaussians differ from their rest by in raw units, some frames at a time."""
    length = np.maximum(np.linalg.norm(rest[ROWS["rotation"]], axis=0), 1e-12)
    for start in range(0, len(track), _CHUNK):
        part = track.frames(start, start + _CHUNK)
        with torch.no_grad():
            both = avatar.model.activate(avatar.tensor(part.mouth_codes), avatar.tensor(part.upper))
        rows = raw_of_activated(both[BRANCHES.index(name)])[..., : rest.shape[1]].double().cpu().numpy()
        # A quaternion and its opposite are one rotation, and its length is not seen once it is activated.
        turned = rows[:, ROWS["rotation"]]
        turned *= np.where((turned * rest[ROWS["rotation"]]).sum(axis=1, keepdims=True) < 0, -length, length)
        yield start, rows - rest


def raw_of_activated(gaussians: Activated) -> Float[Tensor, "b 14 n"]:
    """Activated Gaussians in raw units."""
    opacity = gaussians.opacities.clamp(1e-6, 1 - 1e-6)
    parts = (gaussians.means, gaussians.quats, gaussians.scales.clamp_min(1e-9).log(), opacity.logit()[..., None])
    return torch.cat((*parts, gaussians.colors), dim=-1).transpose(1, 2)
