"""Flat Gaussians along a surface, which look from the camera as round ones would.

No frame tells how deep a Gaussian reaches along its ray, so training leaves that as it starts. A ball on the skin
stands out from it by its radius: seen from the side the outline is blurred and too wide, and balls that stand beside
the cheek in the picture stand before it as streaks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float64

from gaussavatar.head.model import HeadModel
from gaussavatar.mesh.surface import closest_points, vertex_normals
from gaussavatar.model.gaussians import RawGaussians
from gaussavatar.motion.rotations import rotation_quaternions

THICK = 1.5e-3
"""Metres; standard deviation of a Gaussian across the surface."""

GRAZING = 0.45
"""Cosine between the surface's normal and the ray below which a Gaussian is drawn out no further."""

SURFACE = ("face", "lips", "scalp", "ear", "neck", "eyeball_left", "eyeball_right")
"""Regions of a head model along which Gaussians lie."""


def flat_shapes(
    spread: Float64[np.ndarray, "n 3 2"], thickness: Float64[np.ndarray, "n"]
) -> tuple[Float64[np.ndarray, "n 3 3"], Float64[np.ndarray, "n 3"]]:
    """Axes (columns of rotations) and standard deviations, metres, of flat Gaussians.

    Args:
        spread: their covariance along the surface is ``spread spread^T``.
        thickness: standard deviation across it, metres.
    """
    axes, along, _ = np.linalg.svd(spread, full_matrices=True)
    axes[..., 2] *= np.linalg.det(axes)[:, None]
    return axes, np.concatenate([along, thickness[:, None]], axis=1).clip(1e-4)


def across(directions: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3 2"]:
    """Two unit vectors each, perpendicular to a unit vector and to each other, as columns."""
    side = np.cross(directions, np.eye(3)[np.abs(directions).argmin(axis=1)])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return np.stack([side, np.cross(directions, side)], axis=-1)


def laid_flat(raw: RawGaussians, head: HeadModel, eye: Float[np.ndarray, "3"]) -> RawGaussians:
    """Round Gaussians as flat ones along the skin that is nearest to them, which ``eye`` sees as large as before.

    Args:
        raw: round Gaussians in head space.
        head: the person's own head.
        eye: where the camera stands, head space, metres.
    """
    means = raw.means.numpy().astype(float)
    triangles = head.triangles[head.triangle_region(*SURFACE)]
    vertices = head.template.astype(float)
    found = closest_points(means, vertices, triangles)
    normal = np.einsum("nk,nkd->nd", found.barycentrics, vertex_normals(vertices, triangles)[triangles[found.face]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    ray = means - eye
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    facing = (normal * ray).sum(axis=1)
    # What moves across the ray moves along it as well, so that it stays on the surface.
    tilt = (normal - facing[:, None] * ray) / np.minimum(facing, -GRAZING)[:, None]
    frame = across(ray)
    along = frame - ray[:, :, None] * (tilt[:, :, None] * frame).sum(axis=1, keepdims=True)
    radius = raw.log_scales[:, 0].double().exp().numpy()
    axes, scales = flat_shapes(along * radius[:, None, None], np.minimum(radius, THICK))
    quats = rotation_quaternions(torch.from_numpy(axes)).to(raw.quats)
    return replace(raw, quats=quats, log_scales=torch.from_numpy(np.log(scales)).to(raw.log_scales))
