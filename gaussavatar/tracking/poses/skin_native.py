"""The two native sums over all frames and skin points, and their twins in numpy, which are the tests' oracle."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from gaussavatar.native.library import check_status, load_library

GRAZING, FULL = 0.2, 0.6
"""Cosines between normal and line of sight: nothing is seen below the first, all above the second."""

LEAST_AREA = 0.05
"""A tangent square whose image is smaller than this share of a facing one's says nothing."""


@dataclass(frozen=True)
class SkinView:
    """Some frames and the surface that they show.

    ``poses`` are rotation (row-major) and translation from head to camera; ``cameras`` are focal length and principal
    point in each image's own pixels; ``surface`` is :meth:`SkullSkin.packed`.
    """

    images: UInt8[np.ndarray, "f h w"]
    poses: Float32[np.ndarray, "f 12"]
    cameras: Float32[np.ndarray, "f 3"]
    surface: Float32[np.ndarray, "p 12"]


class _Scene(ctypes.Structure):
    _fields_ = (
        ("images", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("poses", "cameras", "surface")),
        *((name, ctypes.c_int32) for name in ("frames", "height", "width", "points")),
    )


def template_sums(
    view: SkinView, known: Float32[np.ndarray, "p"] | None, sigma: float, *, samples: bool = False
) -> tuple[Float64[np.ndarray, "p 6"], Float32[np.ndarray, "f p"] | None, Float32[np.ndarray, "f p"] | None]:
    """Sums over the frames for every point.

    In this order: visibility V, robust weight w, w times grey value, V times the derivative along either tangent (per
    metre), V times the squared residual clipped at 9 sigma^2. ``w = V / (1 + (r / 2 sigma)^2)`` with the residual r
    from ``known`` (0 where that is None). With ``samples`` also every grey value and visibility.
    """
    scene, held = _scene(view)
    n_points = len(view.surface)
    sums = np.zeros((n_points, 6))
    values = np.empty((len(view.images), n_points), np.float32) if samples else None
    visible = np.empty_like(values) if values is not None else None
    reference = None if known is None else np.ascontiguousarray(known, np.float32)
    status = _library().ga_skin_template(
        ctypes.byref(scene), _pointer(reference), sigma, _pointer(sums), _pointer(values), _pointer(visible)
    )
    check_status(status, "skin_template")
    del held
    return sums, values, visible


def normal_equations(
    view: SkinView, appearance: Float32[np.ndarray, "p 4"], sigma: float
) -> tuple[Float64[np.ndarray, "f 6 6"], Float64[np.ndarray, "f 6"]]:
    """Gauss-Newton's matrix and right side of every frame's pose.

    The pose's six numbers are a turn about the camera's axes through the head's origin, then a shift; ``appearance``
    is grey value, derivatives along the tangents (per metre) and weight of every point.
    """
    scene, held = _scene(view)
    H, g = np.empty((len(view.images), 6, 6)), np.empty((len(view.images), 6))
    look = np.ascontiguousarray(appearance, np.float32)
    status = _library().ga_skin_normal(ctypes.byref(scene), _pointer(look), sigma, _pointer(H), _pointer(g))
    check_status(status, "skin_normal")
    del held
    return H, g


def _pointer(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def _scene(view: SkinView) -> tuple[_Scene, list[np.ndarray]]:
    """The native record of a view, and the arrays that have to outlive it."""
    f, height, width = view.images.shape
    if view.poses.shape != (f, 12) or view.cameras.shape != (f, 3) or view.surface.shape[1] != 12:
        raise ValueError(f"poses {view.poses.shape}, cameras {view.cameras.shape} for {f} images")
    held = [np.ascontiguousarray(view.images, np.uint8)]
    held += [np.ascontiguousarray(array, np.float32) for array in (view.poses, view.cameras, view.surface)]
    return _Scene(*(array.ctypes.data for array in held), f, height, width, len(view.surface)), held


@cache
def _library() -> ctypes.CDLL:
    library = load_library()
    pointer = ctypes.c_void_p
    library.ga_skin_template.argtypes = [pointer, pointer, ctypes.c_float, *[pointer] * 3]
    library.ga_skin_normal.argtypes = [pointer, pointer, ctypes.c_float, *[pointer] * 2]
    for function in (library.ga_skin_template, library.ga_skin_normal):
        function.restype = ctypes.c_int
    return library


def template_sums_reference(
    view: SkinView, known: Float[np.ndarray, "p"] | None, sigma: float
) -> Float64[np.ndarray, "p 6"]:
    """The sums of :func:`template_sums` in numpy, float64."""
    sums = np.zeros((len(view.surface), 6))
    for frame in range(len(view.images)):
        seen = _see(view, frame)
        value, slope = _sample(view.images[frame].astype(np.float64), seen.pixels, seen.visible > 0)
        residual = np.zeros_like(value) if known is None else value - known
        weight = seen.visible / (1 + (residual / (2 * sigma)) ** 2)
        derivative = np.einsum("pk,pkt->pt", slope, seen.along)
        sums += np.stack(
            [seen.visible, weight, weight * value, *(seen.visible * derivative.T),
             seen.visible * np.minimum(residual**2, 9 * sigma**2)], 1,
        )  # fmt: skip
    return sums


def normal_equations_reference(
    view: SkinView, appearance: Float[np.ndarray, "p 4"], sigma: float
) -> tuple[Float64[np.ndarray, "f 6 6"], Float64[np.ndarray, "f 6"]]:
    """The equations of :func:`normal_equations` in numpy, float64."""
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
