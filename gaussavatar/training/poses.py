"""Photometric refinement of every frame's head pose against the frozen avatar.

Gauss-Newton per frame on robust image residuals, with the Jacobian from six displaced
renderings in one batch, then one linear smoothing of all frames' corrections, each
weighted by its own information matrix, against their acceleration.
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
from gaussavatar.types import Activated, Cameras

PROBE = (2e-3, 2e-3, 2e-3, 3e-4, 3e-4, 2e-3)
"""Displacements of the finite differences: three rotations (rad) and three translations (m), about
a third of a pixel each."""

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

NOISE = 0.2
"""Effective standard deviation of one pixel's residual; far above the sensor's, because neighbouring
residuals are not independent."""


@dataclass(frozen=True)
class _Scene:
    """Deformed Gaussians of one batch of frames and what they are compared with."""

    face: Activated
    mouth: Activated
    frames: Float[Tensor, "b h w 3"]
    under: Float[Tensor, "b h w 3"]
    weight: Float[Tensor, "b h w"]
    K: Float[Tensor, "b 3 3"]
    size: int


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
    scene = _Scene(face, mouth, _halve(batch.frames), _halve(batch.under), weight, K, clip.size // 2)
    return scene, torch.from_numpy(_poses(clip, indices))


def _render(scene: _Scene, T: Float[Tensor, "p b 4 4"], rasterizer: Rasterizer) -> Float[Tensor, "p b h w 3"]:
    """Composites of every frame of the scene under several poses each.

    Probes share their frame's Gaussians without a copy. The mouth is rendered under the
    first pose only: the probes are a fraction of a pixel away and the mouth weighs little.
    """
    probes, frames = T.shape[:2]
    T = T.to(scene.frames)
    mouth = rasterizer(scene.mouth, Cameras(T[0], scene.K, scene.size, scene.size))
    behind = mouth.rgb + (1 - mouth.alpha)[..., None] * scene.under
    images = T.new_empty(probes, *scene.frames.shape)
    # A GPU has room for copies, and a call costs it more than what is drawn.
    together = 1 if T.device.type == "cpu" else frames
    for start in range(0, frames, together):
        part = slice(start, start + together)
        face = rasterizer(_shared(scene.face, part, probes), _probed(scene, T[:, part], part))
        rgb, alpha = (found.unflatten(0, (-1, probes)).transpose(0, 1) for found in (face.rgb, face.alpha))
        images[:, part] = rgb + (1 - alpha)[..., None] * behind[part]
    return images


def _shared(gaussians: Activated, part: slice, probes: int) -> Activated:
    """The Gaussians of some frames, each as often as there are probes."""
    names = ("means", "quats", "scales", "opacities", "colors")
    several = (getattr(gaussians, name)[part, None] for name in names)
    return Activated(*(one.expand(-1, probes, *one.shape[2:]).flatten(0, 1) for one in several))


def _probed(scene: _Scene, T: Float[Tensor, "p b 4 4"], part: slice) -> Cameras:
    """The probes' cameras of some frames, one frame after the other."""
    K = scene.K[part, None].expand(-1, len(T), 3, 3).flatten(0, 1)
    return Cameras(T.transpose(0, 1).flatten(0, 1), K, scene.size, scene.size)


def solve_poses(
    scene: _Scene, T_start: Float[Tensor, "b 4 4"], rasterizer: Rasterizer, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Corrections (b, 6) of the poses and their information matrices (b, 6, 6), damped Gauss-Newton."""
    frames = T_start.shape[0]
    probe = torch.tensor(PROBE, dtype=torch.float64)
    prior = torch.diag(torch.tensor(PRIOR, dtype=torch.float64) ** -2)
    correction = torch.zeros(frames, 6, dtype=torch.float64)
    accepted, best = correction.clone(), torch.full((frames,), torch.inf, dtype=torch.float64)
    information = prior.repeat(frames, 1, 1)
    for iteration in range(iterations + 1):
        offsets = torch.cat([torch.zeros(1, 6, dtype=torch.float64), torch.diag(probe)])
        if iteration == iterations:
            offsets = offsets[:1]
        tries = correction[None] + offsets[:, None]
        T = _moved(T_start.repeat(len(offsets), 1, 1), tries.reshape(-1, 6)).view(len(offsets), frames, 4, 4)
        images = _render(scene, T, rasterizer)
        residual = images[0] - scene.frames
        squared = residual.square().mean(dim=-1)
        cost = (scene.weight * torch.log1p(squared / RESIDUAL_SCALE**2)).flatten(1).sum(1).cpu().double()
        better = cost < best
        accepted = torch.where(better[:, None], correction, accepted)
        best = torch.where(better, cost, best)
        if iteration == iterations:
            break
        robust = (scene.weight / (1 + squared / RESIDUAL_SCALE**2))[..., None].expand_as(residual).reshape(frames, -1)
        moved = (images[1:] - images[:1]).reshape(6, frames, -1)
        jacobian = (moved / probe[:, None, None].to(moved)).permute(1, 2, 0)
        weighted = jacobian * robust[..., None]
        normal = (weighted.transpose(1, 2) @ jacobian).cpu().double() / NOISE**2 + prior
        pull = (weighted * residual.reshape(frames, -1, 1)).sum(1).cpu().double()
        gradient = pull / NOISE**2 + correction @ prior
        information = torch.where(better[:, None, None], normal, information)
        step = torch.linalg.solve(normal, gradient)
        correction = torch.where(better[:, None], correction - step, (correction + accepted) / 2)
    return accepted.numpy(), information.numpy()


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
