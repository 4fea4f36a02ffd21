"""Photometric refinement of every frame's head pose against the frozen avatar.

Gauss-Newton per frame on robust image residuals, with the Jacobian from the drawn face's slopes and depth, then one
linear smoothing of all frames' corrections, each weighted by its own information matrix, against their acceleration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.linalg import solveh_banded
from torch import Tensor

from gaussavatar.image.widening import widened
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.progress import Progress
from gaussavatar.render.api import Rasterizer
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.training.config import LossConfig, StageConfig
from gaussavatar.training.data import Batch, Clip, load_batch
from gaussavatar.types import Activated, Cameras, Rendered

PRIOR = (0.01, 0.01, 0.01, 1e-3, 1e-3, 4e-3)
"""Standard deviations of the correction of a landmark pose (rad, m): the Tikhonov term of the solve."""

ACCELERATION = (7e-4, 7e-4, 7e-4, 1e-4, 1e-4, 5e-4)
"""Standard deviations of the second difference of the corrections from frame to frame (rad, m): the tracking's poses
follow the skin already, so what is left to correct changes slowly."""

RESIDUAL_SCALE = 0.05
"""Image residual (0..1) beyond which a pixel counts less: the scale of Cauchy's weight."""

MORE = 4
"""Frames that are solved together on a GPU, by those on the CPU: each for itself, but launches cost more than work."""

MOST_FRAMES = 4500
"""Frames that a pass looks at, at most: three minutes. Of longer clips every second, third, ... one is enough."""

NEAR_HEAD = 4
"""Pixels around the head's matte that count, too."""

THIN = 0.05
"""Alpha at which the depth of what is drawn counts as much as that of the whole face."""

NOISE = 0.2
"""Effective standard deviation of one pixel's residual; far above the sensor's, because neighbouring
residuals are not independent."""


@dataclass(frozen=True)
class _Scene:
    """Deformed Gaussians of one batch of frames and what they are compared with, in a part of the picture."""

    face: Activated
    mouth: Activated
    frames: Float[Tensor, "b h w 3"]
    under: Float[Tensor, "b h w 3"]
    weight: Float[Tensor, "b h w"]
    K: Float[Tensor, "b 3 3"]


def refine_poses(
    stage: StageConfig,
    model: AvatarModel,
    clip: Clip,
    rasterizer: Rasterizer,
    folder: Path,
    key: str,
    progress: Progress,
) -> Clip:
    """Refine all usable frames, cached in ``folder`` by ``key``.

    ``stage.iterations`` are Gauss-Newton steps in every ``stage.every``-th frame; the frames between get what the
    smoothing makes of their neighbours.
    """
    cache = folder / f"poses_{stage.name}.safetensors"
    if cache.exists():
        arrays, metadata = read_arrays(cache)
        if metadata.get("key") == key:
            return with_poses(clip, arrays["R_camera_head"], arrays["t_camera_head"])
    indices = np.flatnonzero(clip.usable)
    corrections, information = np.zeros((len(indices), 6)), np.zeros((len(indices), 6, 6))
    solved = _spread(len(indices), skipped_frames(len(indices), stage.every))
    together = stage.batch * (1 if model.face.gaussians.means.device.type == "cpu" else MORE)
    with progress.stage(f"poses: {stage.name}", len(solved)) as advance, torch.no_grad():
        for start in range(0, len(solved), together):
            part = solved[start : start + together]
            scene, T_start = _scene(model, clip, indices[part])
            corrections[part], information[part] = solve_poses(scene, T_start, rasterizer, stage.iterations)
            advance(len(part))
    smooth = smooth_corrections(corrections, information)
    R, t = clip.tracking.R_camera_head.copy(), clip.tracking.t_camera_head.copy()
    T = _moved(torch.from_numpy(_poses(clip, indices)), torch.from_numpy(smooth)).numpy()
    R[indices], t[indices] = T[:, :3, :3], T[:, :3, 3]
    write_arrays(cache, {"R_camera_head": R, "t_camera_head": t}, {"key": key})
    return with_poses(clip, R, t)


def skipped_frames(count: int, every: int) -> int:
    """Every how many-th of ``count`` frames is looked at: as the stage says, and of long clips no more than there are.

    A pass over every frame of ten minutes would take longer than all that is trained on them.
    """
    return max(1, every, -(-count // MOST_FRAMES))


def _spread(count: int, every: int) -> Int[np.ndarray, "k"]:
    """Every so many of ``count`` frames, the first and the last among them."""
    return np.unique(np.append(np.arange(0, count, max(1, every)), max(0, count - 1)))[:count]


def with_poses(clip: Clip, R_camera_head: np.ndarray, t_camera_head: np.ndarray) -> Clip:
    """The clip with other head poses."""
    return replace(clip, tracking=replace(clip.tracking, R_camera_head=R_camera_head, t_camera_head=t_camera_head))


def _poses(clip: Clip, indices: np.ndarray) -> np.ndarray:
    T = np.tile(np.eye(4), (len(indices), 1, 1))
    T[:, :3, :3] = clip.tracking.R_camera_head[indices]
    T[:, :3, 3] = clip.tracking.t_camera_head[indices]
    return T


def _moved(T_camera_world: Float[Tensor, "b 4 4"], correction: Float[Tensor, "b 6"]) -> Float[Tensor, "b 4 4"]:
    """Rotate the head about its own centre in camera axes and shift it, so that the six numbers are decoupled."""
    moved = T_camera_world.clone()
    moved[:, :3, :3] = rotation_matrices(correction[:, :3]) @ T_camera_world[:, :3, :3]
    moved[:, :3, 3] = T_camera_world[:, :3, 3] + correction[:, 3:]
    return moved


def _halve(images: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h2 w2 c"]:
    return F.avg_pool2d(images.movedim(-1, 1), 2).movedim(1, -1)


def _scene(model: AvatarModel, clip: Clip, indices: np.ndarray) -> tuple[_Scene, Float[Tensor, "b 4 4"]]:
    """Deform for ``indices`` and load their images at half the training size, on the model's device."""
    device = model.face.gaussians.means.device
    batch: Batch = load_batch(clip, indices, LossConfig(mouth_region=0.1, eye_region=0.5), device)
    face, mouth, _ = model.activate(batch.mouth_codes, batch.upper, T_camera_world=batch.cameras.T_camera_world)
    weight = _halve((batch.weight * widened(batch.head, NEAR_HEAD))[..., None])[..., 0]
    K = batch.cameras.K.clone()
    K[:, :2] *= 0.5
    scene = _Scene(face, mouth, _halve(batch.frames), _halve(batch.under), weight, K)
    return _cut(scene), torch.from_numpy(_poses(clip, indices))


def _cut(scene: _Scene) -> _Scene:
    """The scene without the rows and columns that weigh nothing in any frame."""
    counts = scene.weight.amax(0) > 0
    rows, columns = (torch.nonzero(counts.any(axis))[:, 0].tolist() for axis in (1, 0))
    if not rows:
        return scene
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    K = scene.K.clone()
    K[:, 0, 2] -= left
    K[:, 1, 2] -= top
    images = (image[:, top:bottom, left:right] for image in (scene.frames, scene.under, scene.weight))
    return _Scene(scene.face, scene.mouth, *images, K)


def _drawn(
    scene: _Scene, gaussians: Activated, T_camera_head: Float[Tensor, "b 4 4"], rasterizer: Rasterizer
) -> Rendered:
    height, width = scene.frames.shape[1:3]
    return rasterizer(gaussians, Cameras(T_camera_head, scene.K, width, height))


def solve_poses(
    scene: _Scene, T_start: Float[Tensor, "b 4 4"], rasterizer: Rasterizer, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Corrections (b, 6) of the poses and their information matrices (b, 6, 6), damped Gauss-Newton.

    The mouth is drawn under the first pose only: corrections are a fraction of a pixel and the mouth weighs little.
    """
    frames = T_start.shape[0]
    prior = torch.diag(torch.tensor(PRIOR, dtype=torch.float64) ** -2)
    correction = torch.zeros(frames, 6, dtype=torch.float64)
    accepted, best = correction.clone(), torch.full((frames,), torch.inf, dtype=torch.float64)
    information = prior.repeat(frames, 1, 1)
    mouth = _drawn(scene, scene.mouth, T_start.to(scene.frames), rasterizer)
    behind = mouth.rgb + (1 - mouth.alpha)[..., None] * scene.under
    for iteration in range(iterations + 1):
        T = _moved(T_start, correction).to(scene.frames)
        face = _drawn(scene, scene.face, T, rasterizer)
        residual = face.rgb + (1 - face.alpha)[..., None] * behind - scene.frames
        squared = residual.square().mean(dim=-1)
        cost = (scene.weight * torch.log1p(squared / RESIDUAL_SCALE**2)).flatten(1).sum(1).cpu().double()
        better = cost < best
        accepted = torch.where(better[:, None], correction, accepted)
        best = torch.where(better, cost, best)
        if iteration == iterations:
            break
        robust = scene.weight / (1 + squared / RESIDUAL_SCALE**2)
        flow = _flow(scene, T, rasterizer)
        normal, pull = _normal_equations(face, behind, flow, residual, robust)
        normal = normal / NOISE**2 + prior
        information = torch.where(better[:, None, None], normal, information)
        step = torch.linalg.solve(normal, pull / NOISE**2 + correction @ prior)
        correction = torch.where(better[:, None], correction - step, (correction + accepted) / 2)
    return accepted.numpy(), information.numpy()


def _flow(scene: _Scene, T_camera_head: Float[Tensor, "b 4 4"], rasterizer: Rasterizer) -> Float[Tensor, "2 b 6 h w"]:
    """Pixels to the right and downwards that the face's points move per unit of each of the correction's numbers.

    Points lie at the mean depth of what is drawn there, and where next to nothing is, at that of the whole face.
    """
    t = T_camera_head[:, :3, 3]
    depth = scene.face.means @ T_camera_head[:, 2, :3, None] + t[:, None, 2:]
    drawn = _drawn(scene, replace(scene.face, colors=depth.expand(-1, -1, 3)), T_camera_head, rasterizer)
    alpha, weighed = drawn.alpha, drawn.rgb[..., 0]
    usual = weighed.sum((1, 2), keepdim=True) / alpha.sum((1, 2), keepdim=True).clamp_min(1e-6)
    z = (weighed + THIN * usual) / (alpha + THIN)
    height, width = z.shape[1:]
    focal = scene.K[:, [0, 1], [0, 1]][..., None, None]
    middle = scene.K[:, :2, 2][..., None, None]
    down, right = torch.meshgrid(*(torch.arange(n, device=z.device) + 0.5 for n in (height, width)), indexing="ij")
    # Directions x / z and y / z of the pixels, and their points about the head's centre.
    ray = (torch.stack([right, down])[None] - middle) / focal
    x, y = (z * ray[:, axis] - t[:, axis, None, None] for axis in (0, 1))
    depth_about, none, one = z - t[:, 2, None, None], torch.zeros_like(z), torch.ones_like(z)
    moved = (
        torch.stack([none, depth_about, -y, one, none, none], dim=1),
        torch.stack([-depth_about, none, x, none, one, none], dim=1),
    )
    nearer = torch.stack([y, -x, none, none, none, one], dim=1)
    scale = focal / z[:, None]
    return torch.stack([(moved[axis] - ray[:, axis, None] * nearer) * scale[:, axis, None] for axis in (0, 1)])


def _normal_equations(
    face: Rendered,
    behind: Float[Tensor, "b h w 3"],
    flow: Float[Tensor, "2 b 6 h w"],
    residual: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
) -> tuple[Float[Tensor, "b 6 6"], Float[Tensor, "b 6"]]:
    """Gauss-Newton's matrix and right side in float64 on the CPU.

    A layer that moves by (u, v) changes by minus u and v times its slopes (Lucas and Kanade, IJCAI 1981), colour and
    alpha alike: one picture and one of depth stand for the six displaced ones of finite differences, and reach further.
    """
    slopes = [_slope(face.rgb, axis) - behind * _slope(face.alpha[..., None], axis) for axis in (2, 1)]
    u, v = flow.flatten(3)
    xx, xy, yy = ((weight * (slopes[i] * slopes[j]).sum(-1)).flatten(1)[:, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    normal = (xx * u + xy * v) @ u.transpose(1, 2) + (xy * u + yy * v) @ v.transpose(1, 2)
    x, y = ((weight * (slope * residual).sum(-1)).flatten(1)[..., None] for slope in slopes)
    pull = -(u @ x + v @ y)[..., 0]
    return normal.cpu().double(), pull.cpu().double()


def _slope(images: Float[Tensor, "b h w c"], axis: int) -> Float[Tensor, "b h w c"]:
    """Central differences along rows (axis 1) or columns (2); zero at the picture's edges."""
    inner = (images.narrow(axis, 2, images.shape[axis] - 2) - images.narrow(axis, 0, images.shape[axis] - 2)) / 2
    edge = torch.zeros_like(images.narrow(axis, 0, 1))
    return torch.cat([edge, inner, edge], dim=axis)


def smooth_corrections(
    corrections: Float[np.ndarray, "n 6"], information: Float[np.ndarray, "n 6 6"]
) -> Float[np.ndarray, "n 6"]:
    """Most likely corrections of all frames together, given each frame's own and the acceleration prior.

    Minimises sum_i (x_i - c_i)' H_i (x_i - c_i) + sum_i |(x_{i-1} - 2 x_i + x_{i+1}) / a|^2,
    a block-pentadiagonal system in upper banded form.
    """
    count = len(corrections)
    if count < 3:
        return corrections
    width = 12
    bands = np.zeros((width + 6, count * 6))
    stiff = np.array(ACCELERATION) ** -2
    second = np.zeros((3, count))
    second[0, 1:-1] += 4
    second[0, :-2] += 1
    second[0, 2:] += 1
    second[1, 1:-1] += -2
    second[1, :-2] += -2
    second[2, :-2] += 1
    for lag in range(3):
        for axis in range(6):
            columns = np.arange(lag, count) * 6 + axis
            bands[width + 5 - 6 * lag, columns] += second[lag, : count - lag] * stiff[axis]
    for row in range(6):
        for column in range(row, 6):
            bands[width + 5 - (column - row), np.arange(count) * 6 + column] += information[:, row, column]
    right = np.einsum("nij,nj->ni", information, corrections).reshape(-1)
    return solveh_banded(bands, right).reshape(count, 6)
