"""Sums over all frames and points of a rigid surface: native on the CPU, and the twins in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from gaussavatar.native import abi
from gaussavatar.native.library import load_library

GRAZING, FULL = 0.2, 0.6
"""Cosines between normal and line of sight: nothing is seen below the first, all above the second."""

LEAST_AREA = 0.05
"""A tangent square whose image is smaller than this share of a facing one's says nothing."""


class SkinView(NamedTuple):
    """Some frames and the surface that they show.

    ``poses`` are rotation (row-major) and translation from head to camera; ``cameras`` are focal length and principal
    point in each image's own pixels; ``surface`` is point, unit normal and two unit tangents in head space.
    """

    images: UInt8[np.ndarray, "f h w"]
    poses: Float32[np.ndarray, "f 12"]
    cameras: Float32[np.ndarray, "f 3"]
    surface: Float32[np.ndarray, "p 12"]


Sums = tuple[Float64[np.ndarray, "p 6"], Float32[np.ndarray, "f p"] | None, Float32[np.ndarray, "f p"] | None]
"""Sums of every point; grey value and visibility of every sample, where they were asked for."""


def template_sums_cpu(view: SkinView, known: Float32[np.ndarray, "p"] | None, sigma: float, samples: bool) -> Sums:
    """See :func:`gaussavatar.tracking.poses.skin_sums.template_sums`; contiguous arrays."""
    n_frames, n_points = len(view.images), len(view.surface)
    sums = np.zeros((n_points, 6))
    values = np.empty((n_frames, n_points), np.float32) if samples else None
    visible = np.empty_like(values) if values is not None else None
    load_library().ga_skin_template(_scene(view), known, sigma, sums, values, visible)
    return sums, values, visible


def normal_equations_cpu(
    view: SkinView, appearance: Float32[np.ndarray, "p 4"], sigma: float
) -> tuple[Float64[np.ndarray, "f 6 6"], Float64[np.ndarray, "f 6"]]:
    """See :func:`gaussavatar.tracking.poses.skin_sums.normal_equations`; contiguous arrays."""
    H, g = np.empty((len(view.images), 6, 6)), np.empty((len(view.images), 6))
    load_library().ga_skin_normal(_scene(view), appearance, sigma, H, g)
    return H, g


def _scene(view: SkinView) -> abi.GaSkinScene:
    """The native record of a view, which the caller keeps alive."""
    return abi.GaSkinScene(*(abi.address(array) for array in view), *view.images.shape, len(view.surface))


def template_sums_twin(view: SkinView, known: Float[np.ndarray, "p"] | None, sigma: float, samples: bool) -> Sums:
    """The sums of :func:`template_sums_cpu` in numpy, float64."""
    sums = np.zeros((len(view.surface), 6))
    values, visible = np.zeros((2, len(view.images), len(view.surface)), np.float32)
    for frame in range(len(view.images)):
        seen = _see(view, frame)
        value, slope = _sample(view.images[frame].astype(np.float64), seen.pixels, seen.visible > 0)
        values[frame], visible[frame] = value, seen.visible
        residual = np.zeros_like(value) if known is None else value - known
        weight = seen.visible / (1 + (residual / (2 * sigma)) ** 2)
        derivative = np.einsum("pk,pkt->pt", slope, seen.along)
        sums += np.stack(
            [seen.visible, weight, weight * value, *(seen.visible * derivative.T),
             seen.visible * np.minimum(residual**2, 9 * sigma**2)], 1,
        )  # fmt: skip
    return (sums, values, visible) if samples else (sums, None, None)


def normal_equations_twin(
    view: SkinView, appearance: Float[np.ndarray, "p 4"], sigma: float
) -> tuple[Float64[np.ndarray, "f 6 6"], Float64[np.ndarray, "f 6"]]:
    """The equations of :func:`normal_equations_cpu` in numpy, float64."""
    H, g = np.zeros((len(view.images), 6, 6)), np.zeros((len(view.images), 6))
    for frame in range(len(view.images)):
        seen = _see(view, frame)
        area = np.linalg.det(seen.along)
        used = (seen.visible > 0) & (appearance[:, 3] > 0) & (np.abs(area) >= LEAST_AREA * seen.scale**2)
        value, _ = _sample(view.images[frame].astype(np.float64), seen.pixels, used)
        slope = np.zeros((len(value), 2))
        slope[used] = np.linalg.solve(seen.along[used].swapaxes(1, 2), appearance[used, 1:3, None])[..., 0]
        residual = value - appearance[:, 0]
        weight = used * seen.visible * appearance[:, 3] / (1 + (residual / (2 * sigma)) ** 2)
        A = np.concatenate([slope, -(slope * seen.camera[:, :2]).sum(1, keepdims=True) / seen.camera[:, 2:]], 1)
        A *= seen.scale[:, None]
        J = np.concatenate([np.cross(seen.turned, A), A], 1)
        H[frame], g[frame] = (J * weight[:, None]).T @ J, -(J * weight[:, None]).T @ residual
    return H, g


@dataclass(frozen=True)
class _Seen:
    turned: np.ndarray
    camera: np.ndarray
    pixels: np.ndarray
    scale: np.ndarray
    visible: np.ndarray
    along: np.ndarray


def _see(view: SkinView, frame: int) -> _Seen:
    R, t = view.poses[frame, :9].reshape(3, 3).astype(np.float64), view.poses[frame, 9:].astype(np.float64)
    focal, *middle = view.cameras[frame].astype(np.float64)
    points, normals, u, v = (view.surface[:, 3 * k : 3 * k + 3].astype(np.float64) @ R.T for k in range(4))
    camera = points + t
    cosine = -(normals * camera).sum(1) / np.linalg.norm(camera, axis=1)
    scale = focal / camera[:, 2]
    pixels = camera[:, :2] * scale[:, None] + middle - 0.5
    height, width = view.images.shape[1:]
    inside = (pixels >= 1).all(1) & (pixels[:, 0] < width - 2) & (pixels[:, 1] < height - 2)
    visible = np.clip((cosine - GRAZING) / (FULL - GRAZING), 0, 1) * inside
    slope = camera[:, :2] / camera[:, 2:]
    along = np.stack([(d[:, :2] - slope * d[:, 2:]) * scale[:, None] for d in (u, v)], 2)
    return _Seen(points, camera, pixels, scale, visible, along)


def _sample(image: np.ndarray, pixels: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear values, and central differences over a pixel; zero where not ``seen``."""

    def value(shift_x: float, shift_y: float) -> np.ndarray:
        x, y = np.where(seen, pixels[:, 0] + shift_x, 1), np.where(seen, pixels[:, 1] + shift_y, 1)
        column, row = x.astype(int), y.astype(int)
        u, v = x - column, y - row
        top = (1 - u) * image[row, column] + u * image[row, column + 1]
        bottom = (1 - u) * image[row + 1, column] + u * image[row + 1, column + 1]
        return seen * ((1 - v) * top + v * bottom)

    slope = np.stack([value(0.5, 0) - value(-0.5, 0), value(0, 0.5) - value(0, -0.5)], 1)
    return value(0, 0), slope
