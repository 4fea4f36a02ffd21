"""Fitting the torso branch to the completed torso frames, by itself: the head takes no part in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from gaussavatar.image.cutout import cut_out, torso_matte
from gaussavatar.image.filling import fill_holes
from gaussavatar.image.losses import photometric_loss
from gaussavatar.mesh.rasterizer import get_mesh_rasterizer
from gaussavatar.model.torso import Torso, TorsoConfig, blank_torso, slow_motion, torso_from
from gaussavatar.progress import Progress
from gaussavatar.render.api import Rasterizer
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices, skull_joint
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.types import Cameras

N_FRAMES = 160
"""Training frames, spread over the clip; a torso has few poses, and these fit in memory."""

BATCH = 2
RATES = {"means": 8e-5, "quats": 2e-3, "log_scales": 5e-3, "logit_opacities": 3e-2, "colors": 6e-3, "follow": 1e-3}
"""Learning rates of Adam; they fall to a tenth over the second half."""

ALPHA_WEIGHT = 0.3
FLOOR = 0.15
"""Weight of pixels far from the torso, which are background whatever it does."""

LARGE = 1.2e-2
"""Standard deviation in metres from which on a Gaussian counts as too large: side views show needles."""


@dataclass(frozen=True)
class TorsoFrames:
    """What is fitted: torso frames without background, and the head's motion in them."""

    rgba: UInt8[np.ndarray, "n s s 4"]
    """Colour premultiplied by alpha."""
    motion: Float[Tensor, "n 12"]
    K: Float[Tensor, "3 3"]
    size: int


def fit_torso(
    clip: Clip,
    plate: UInt8[np.ndarray, "s s 3"] | None,
    head: HeadTrack,
    config: TorsoConfig,
    rasterizer: Rasterizer,
    seed: int,
    path: Path,
    key: str,
    progress: Progress,
) -> Torso:
    """Fit the torso branch, or read it where ``path`` holds the one of the same ``key``.

    Args:
        clip: the clip with the poses that training ended with.
        plate: background of a camera that stood still, else None.
        head: the tracked head, whose shoulders give the depth to start from.
        config: how many Gaussians and steps.
        rasterizer: for tensors on the CPU.
        seed: of the random start and the order of the frames.
        path: where the fitted torso is kept.
        key: names all inputs.
        progress: told of every step.
    """
    if path.exists():
        arrays, metadata = read_arrays(path)
        if metadata.get("key") == key:
            return torso_from(arrays)
    usable = np.flatnonzero(clip.usable[: clip.n_train])
    base = mean_pose(clip, usable)
    motion = slow_motion(clip.tracking.R_camera_head, clip.tracking.t_camera_head, base)
    picked = usable[np.linspace(0, len(usable) - 1, min(N_FRAMES, len(usable))).round().astype(int)]
    frames = torso_frames(clip, plate, picked, motion)
    torso = start_torso(clip, frames, picked, head, base, config.count, seed)
    optimizer = torch.optim.Adam([{"params": [p], "name": n} for n, p in torso.named_parameters()], lr=0.0, eps=1e-15)
    random = np.random.default_rng(seed)
    with progress.stage("torso", config.iterations) as advance:
        for iteration in range(config.iterations):
            factor = 0.1 ** max(0.0, 2 * iteration / config.iterations - 1)
            for group in optimizer.param_groups:
                group["lr"] = RATES[group["name"].rpartition(".")[2]] * factor
            optimizer.zero_grad(set_to_none=True)
            loss = torso_loss(torso, frames, random.choice(len(picked), BATCH), random, rasterizer)
            loss.backward()
            optimizer.step()
            advance(1)
    torso.requires_grad_(False)
    write_arrays(path, {name: value.numpy() for name, value in torso.state_dict().items()}, {"key": key})
    return torso


def mean_pose(clip: Clip, usable: np.ndarray) -> np.ndarray:
    """The mean head pose (4, 4) of some frames."""
    u, _, vt = np.linalg.svd(clip.tracking.R_camera_head[usable].mean(axis=0))
    base = np.eye(4, dtype=np.float32)
    base[:3, :3], base[:3, 3] = u @ vt, clip.tracking.t_camera_head[usable].mean(axis=0)
    return base


def torso_frames(clip: Clip, plate: np.ndarray | None, picked: np.ndarray, motion: np.ndarray) -> TorsoFrames:
    """Cut the torso out of some frames."""
    rgba = np.empty((len(picked), clip.size, clip.size, 4), np.uint8)
    for row, index in enumerate(picked.tolist()):
        under = clip.under.read(index)
        matte = torso_matte(clip.frames.read(index), under, clip.masks.read(index), plate)
        cut = cut_out(under, matte, plate)
        rgba[row] = (np.dstack([cut.rgb, cut.alpha]) * 255).round()
    K = cameras_of(clip.tracking, picked[:1], clip.size).K[0]
    return TorsoFrames(rgba, torch.from_numpy(motion[picked]), K, clip.size)


def start_torso(
    clip: Clip, frames: TorsoFrames, picked: np.ndarray, head: HeadTrack, base: np.ndarray, count: int, seed: int
) -> Torso:
    """Gaussians on the tracked head's neck and shoulders, where and how the frame nearest to the mean shows them."""
    random = np.random.default_rng(seed)
    torso = blank_torso(count, base)
    nearest = int(np.argmin(frames.motion[:, 6:].square().sum(dim=1)))
    image, index = frames.rgba[nearest].astype(np.float32) / 255, int(picked[nearest])
    depth = shoulder_depth(clip, head, index, frames.K.numpy(), clip.size)
    rows, columns = np.nonzero(image[..., 3] > 0.5)
    if len(rows) == 0:
        rows, columns = np.array([clip.size - 1]), np.array([clip.size // 2])
    chosen = random.choice(len(rows), count)
    rows, columns = rows[chosen], columns[chosen]
    pixels = np.column_stack([columns, rows]) + random.random((count, 2))
    z = depth[rows, columns]
    K = frames.K.numpy().astype(float)
    camera = np.column_stack([pixels, np.ones(count)]) @ np.linalg.inv(K).T * z[:, None]
    T_camera_torso = torso.poses(frames.motion[nearest][None])[0].detach().numpy()
    points = (camera - T_camera_torso[:3, 3]) @ T_camera_torso[:3, :3]
    spacing = z / K[0, 0] * np.sqrt(max(1.0, (image[..., 3] > 0.5).sum() / count))
    colors = image[rows, columns, :3] / np.maximum(image[rows, columns, 3:], 0.2)
    own = torso.gaussians
    with torch.no_grad():
        own.means.copy_(torch.from_numpy(points))
        own.quats[:, 0] = 1
        own.log_scales.copy_(torch.from_numpy(np.log(0.75 * spacing))[:, None].expand(-1, 3))
        own.logit_opacities.fill_(1.0)
        own.colors.copy_(torch.from_numpy(colors))
    return torso


def shoulder_depth(clip: Clip, head: HeadTrack, index: int, K: np.ndarray, size: int) -> Float[np.ndarray, "s s"]:
    """Depth in metres of the tracked head's neck and shoulders at every pixel, smooth, continued where none is seen.

    The skull's own surface is left out: a jaw before the collar is no part of it.
    """
    model = head.head
    vertices = camera_vertices(head, clip.tracking, np.array([index]))
    below = carried_below(model.skin_weights.argmax(axis=1), model.joint_parents, skull_joint(model))
    triangles = model.triangles[below[model.triangles].all(axis=1)]
    triangles = triangles if len(triangles) else model.triangles
    seen = get_mesh_rasterizer()(vertices, triangles, K[None].astype(np.float32), size, size)
    known = (seen.triangle_index[0] >= 0).astype(np.float32)
    depth = np.where(known > 0, seen.depth[0], 0).astype(np.float32)
    filled = fill_holes(np.repeat(depth[..., None], 3, axis=2), known)[..., 0]
    return cv2.GaussianBlur(filled, (0, 0), 0.02 * size)


def carried_below(joint: Int[np.ndarray, "v"], parents: tuple[int, ...], skull: int) -> Bool[np.ndarray, "v"]:
    """Vertices whose ``joint`` is neither the ``skull`` nor hangs on it."""
    above = {skull}
    for index, parent in enumerate(parents):
        if parent in above:
            above.add(index)
    return ~np.isin(joint, list(above))


def torso_loss(
    torso: Torso, frames: TorsoFrames, rows: np.ndarray, random: np.random.Generator, rasterizer: Rasterizer
) -> Float[Tensor, ""]:
    """Photometric loss before a random colour, which leaves no background in the torso; alpha; too large Gaussians."""
    target = torch.from_numpy(frames.rgba[rows]).float() / 255
    alpha = target[..., 3]
    poses = torso.poses(frames.motion[torch.from_numpy(rows)])
    cameras = Cameras(poses, frames.K.expand(len(rows), 3, 3), frames.size, frames.size)
    drawn = rasterizer(torso.activated(len(rows)), cameras)
    behind = torch.from_numpy(random.random(3).astype(np.float32))
    image = drawn.rgb + (1 - drawn.alpha)[..., None] * behind
    wanted = target[..., :3] + (1 - alpha)[..., None] * behind
    near = torch.from_numpy(np.stack([cv2.dilate(each, np.ones((15, 15), np.uint8)) for each in alpha.numpy()]))
    weight = FLOOR + (1 - FLOOR) * (near > 0)
    loss = photometric_loss(image, wanted, weight, 0.2) + ALPHA_WEIGHT * (drawn.alpha - alpha).abs().mean()
    return loss + 20 * (torso.gaussians.log_scales.exp() - LARGE).clamp_min(0).mean()
