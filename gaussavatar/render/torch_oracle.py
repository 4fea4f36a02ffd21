"""The rasterizer in plain dense torch: slow, short, differentiable; the truth for tests."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaussavatar.render.semantics import (
    BLUR,
    FAR,
    JACOBIAN_MARGIN,
    MAX_ALPHA,
    MIN_ALPHA,
    MIN_TRANSMITTANCE,
    NEAR,
    check_scene,
)
from gaussavatar.types import Activated, Cameras, Rendered


def rotation_from_quats(quats: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices of wxyz quaternions, which are normalised first."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def drawable(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, "n"],
    T_camera_world: Float[Tensor, "4 4"],
) -> Bool[Tensor, "n"]:
    """Which Gaussians are finite, between the near and far planes, and opaque enough to be seen."""
    depth = means @ T_camera_world[2, :3] + T_camera_world[2, 3]
    finite = torch.isfinite(torch.cat([means, quats, scales, opacities[:, None]], -1)).all(-1)
    return finite & (depth >= NEAR) & (depth <= FAR) & (opacities >= MIN_ALPHA) & (quats.norm(dim=-1) > 0)


def project(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    T_camera_world: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2 2"], Float[Tensor, "n"]]:
    """EWA projection to pixel means, blurred 2D covariances, and depths (semantics.py, points 1-4)."""
    R_camera_world, t_camera_world = T_camera_world[:3, :3], T_camera_world[:3, 3]
    points = means @ R_camera_world.T + t_camera_world
    x, y, z = points.unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    margin_x, margin_y = JACOBIAN_MARGIN * width / fx, JACOBIAN_MARGIN * height / fy
    slope_x = torch.minimum(torch.maximum(x / z, -cx / fx - margin_x), (width - cx) / fx + margin_x)
    slope_y = torch.minimum(torch.maximum(y / z, -cy / fy - margin_y), (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    J = torch.stack(
        [torch.stack([fx / z, zero, -fx * slope_x / z], -1), torch.stack([zero, fy / z, -fy * slope_y / z], -1)], -2
    )
    root = J @ R_camera_world @ (rotation_from_quats(quats) * scales[:, None, :])
    covariances = root @ root.transpose(-1, -2) + BLUR * torch.eye(2, dtype=means.dtype, device=means.device)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], -1), covariances, z


def rasterize_one(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, "n"],
    colors: Float[Tensor, "n 3"],
    T_camera_world: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Rasterize one frame; memory grows with Gaussians x pixels."""
    keep = drawable(means, quats, scales, opacities, T_camera_world)
    means, quats, scales, opacities, colors = (t[keep] for t in (means, quats, scales, opacities, colors))
    means2d, covariances, depths = project(means, quats, scales, T_camera_world, K, width, height)
    order = torch.sort(depths, stable=True).indices
    means2d, covariances, opacities, colors = (t[order] for t in (means2d, covariances, opacities, colors))
    rows = torch.arange(height, dtype=means.dtype, device=means.device) + 0.5
    columns = torch.arange(width, dtype=means.dtype, device=means.device) + 0.5
    dx = (columns[None, :] - means2d[:, :1])[:, None, :]
    dy = (rows[None, :] - means2d[:, 1:])[:, :, None]
    conics = torch.linalg.inv(covariances)
    a, b, c = (conics[:, i, j, None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    falloff = opacities[:, None, None] * torch.exp(-0.5 * (a * dx * dx + 2 * b * dx * dy + c * dy * dy))
    alphas = torch.where(falloff >= MIN_ALPHA, falloff.clamp(max=MAX_ALPHA), torch.zeros_like(falloff))
    after = torch.cumprod(1 - alphas, 0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]], 0)
    weights = torch.where(after > MIN_TRANSMITTANCE, alphas * before, torch.zeros_like(alphas))
    return torch.einsum("nhw,nc->hwc", weights, colors), weights.sum(0)


class TorchRasterizer:
    """The oracle behind the rasterizer protocol, in the dtype and on the device of its inputs."""

    name = "torch"

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        """Rasterize every frame of the batch (see :mod:`gaussavatar.render.semantics`)."""
        batch, _ = check_scene(gaussians, cameras)
        images = [
            rasterize_one(
                gaussians.means[i],
                gaussians.quats[i],
                gaussians.scales[i],
                gaussians.opacities[i],
                gaussians.colors[i],
                cameras.T_camera_world[i],
                cameras.K[i],
                cameras.width,
                cameras.height,
            )
            for i in range(batch)
        ]
        if not images:
            empty = gaussians.means.new_zeros((0, cameras.height, cameras.width, 3))
            return Rendered(rgb=empty, alpha=empty[..., 0])
        return Rendered(rgb=torch.stack([rgb for rgb, _ in images]), alpha=torch.stack([alpha for _, alpha in images]))
