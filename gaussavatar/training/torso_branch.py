"""What the torso branch is trained on, how it starts and what it loses by.

It is fitted to the completed torso frames by itself: the head takes no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from gaussavatar.image.cutout import cut_out, torso_matte
from gaussavatar.image.filling import fill_holes
from gaussavatar.image.losses import photometric_loss
from gaussavatar.mesh.rasterizer import get_mesh_rasterizer
from gaussavatar.model.torso import Torso, blank_torso, slow_motion
from gaussavatar.render.api import Rasterizer
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices, skull_joint
from gaussavatar.training.config import LossConfig
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.types import Cameras

N_FRAMES = 160
"""Training frames, spread over the clip; a torso has few poses, and these fit in memory."""

ALPHA_WEIGHT = 0.3
"""Weight of the difference of the torso's alpha from its matte."""

FLOOR = 0.15
"""Weight of pixels far from the torso, which are background whatever it does."""

LARGE = 1.2e-2
"""Standard deviation in metres from which on a Gaussian counts as too large: side views show needles."""


@dataclass(frozen=True)
class TorsoFrames:
    """What is fitted: torso frames without background, and the head's motion in them."""

    indices: Int[np.ndarray, "n"]
    """Their numbers in the clip."""
    rgba: UInt8[np.ndarray, "n s s 4"]
    """Colour premultiplied by alpha."""
    motion: Float[Tensor, "n 12"]
    K: Float[Tensor, "3 3"]
    size: int


@dataclass(frozen=True)
class TorsoBatch:
    """Supervision of a few frames before one colour, which leaves no background in the torso."""

    image: Float[Tensor, "b h w 3"]
    alpha: Float[Tensor, "b h w"]
    weight: Float[Tensor, "b h w"]
    behind: Float[Tensor, "3"]
    motion: Float[Tensor, "b 12"]
    K: Float[Tensor, "b 3 3"]


def mean_pose(clip: Clip) -> Float32[np.ndarray, "4 4"]:
    """The mean head pose of the training frames: where torso space is."""
    usable = clip.usable[: clip.n_train].nonzero()
    u, _, vt = np.linalg.svd(clip.tracking.R_camera_head[usable].mean(axis=0))
    base = np.eye(4, dtype=np.float32)
    base[:3, :3], base[:3, 3] = u @ vt, clip.tracking.t_camera_head[usable].mean(axis=0)
    return base


def torso_frames(
    clip: Clip, plate: UInt8[np.ndarray, "s s 3"] | None, T_base: Float32[np.ndarray, "4 4"]
) -> TorsoFrames:
    """Cut the torso out of training frames, evenly spread; ``plate`` is the background of a camera that stood still."""
    usable = np.flatnonzero(clip.usable[: clip.n_train])
    picked = usable[np.linspace(0, len(usable) - 1, min(N_FRAMES, len(usable))).round().astype(int)]
    motion = slow_motion(clip.tracking.R_camera_head, clip.tracking.t_camera_head, T_base)
    rgba = np.empty((len(picked), clip.size, clip.size, 4), np.uint8)
    for row, index in enumerate(picked.tolist()):
        under = clip.under.read(index)
        matte = torso_matte(clip.frames.read(index), under, clip.masks.read(index), plate)
        cut = cut_out(under, matte, plate)
        rgba[row] = (np.dstack([cut.rgb, cut.alpha]) * 255).round()
    K = cameras_of(clip.tracking, picked[:1], clip.size).K[0]
    return TorsoFrames(picked, rgba, torch.from_numpy(motion[picked]), K, clip.size)


def start_torso(
    clip: Clip, frames: TorsoFrames, head: HeadTrack, base: Float32[np.ndarray, "4 4"], count: int, seed: int
) -> Torso:
    """Gaussians on the tracked head's neck and shoulders, where and how the frame nearest to the mean shows them."""
    random = np.random.default_rng(seed)
    torso = blank_torso(count, base)
    nearest = int(np.argmin(frames.motion[:, 6:].square().sum(dim=1)))
    image, index = frames.rgba[nearest].astype(np.float32) / 255, int(frames.indices[nearest])
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


def torso_batch(
    frames: TorsoFrames, rows: Int[np.ndarray, "b"], behind: Float32[np.ndarray, "3"], device: torch.device
) -> TorsoBatch:
    """Some of the frames before the colour ``behind``, on ``device``."""
    target = torch.from_numpy(frames.rgba[rows]).float() / 255
    alpha, color = target[..., 3], torch.from_numpy(behind)
    near = torch.from_numpy(np.stack([cv2.dilate(each, np.ones((15, 15), np.uint8)) for each in alpha.numpy()]))
    image = target[..., :3] + (1 - alpha)[..., None] * color
    weight = FLOOR + (1 - FLOOR) * (near > 0)
    parts = image, alpha, weight, color, frames.motion[torch.from_numpy(rows)], frames.K.expand(len(rows), 3, 3)
    return TorsoBatch(*(part.to(device) for part in parts))


def draw_torso(
    torso: Torso, batch: TorsoBatch, rasterizer: Rasterizer
) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w"]]:
    """The torso in a batch's frames before its colour, and the torso's alpha."""
    count, height, width = batch.alpha.shape
    drawn = rasterizer(torso.activated(count), Cameras(torso.poses(batch.motion), batch.K, width, height))
    return drawn.rgb + (1 - drawn.alpha)[..., None] * batch.behind, drawn.alpha


def torso_losses(
    torso: Torso, batch: TorsoBatch, rasterizer: Rasterizer, weights: LossConfig
) -> dict[str, Float[Tensor, ""]]:
    """Photometric loss, alpha against the matte, and too large Gaussians, weighted; named apart from the head's."""
    image, alpha = draw_torso(torso, batch, rasterizer)
    large = (torso.gaussians.log_scales.exp() - LARGE).clamp_min(0).mean() * 1e3
    return {
        "torso_photometric": photometric_loss(image, batch.image, batch.weight, weights.dssim),
        "torso_alpha": ALPHA_WEIGHT * (alpha - batch.alpha).abs().mean(),
        "torso_large": weights.large * large,
    }
