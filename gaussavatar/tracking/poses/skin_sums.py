"""Two sums over all frames and skin points: appearance under known poses, and the equations of the poses."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from gaussavatar.native.operations import OPERATIONS
from gaussavatar.native.skin import SkinView, Sums

__all__ = ["SkinView", "normal_equations", "template_sums"]


def template_sums(
    view: SkinView, known: Float32[np.ndarray, "p"] | None, sigma: float, *, samples: bool = False
) -> Sums:
    """Sums over the frames for every point.

    In this order: visibility V, robust weight w, w times grey value, V times the derivative along either tangent (per
    metre), V times the squared residual clipped at 9 sigma^2. ``w = V / (1 + (r / 2 sigma)^2)`` with the residual r
    from ``known`` (0 where that is None). With ``samples`` also every grey value and visibility.

    Raises:
        ValueError: shapes that do not fit.
    """
    reference = None if known is None else np.ascontiguousarray(known, np.float32)
    return OPERATIONS["skin_template"](_packed(view), reference, sigma, samples)


def normal_equations(
    view: SkinView, appearance: Float32[np.ndarray, "p 4"], sigma: float
) -> tuple[Float64[np.ndarray, "f 6 6"], Float64[np.ndarray, "f 6"]]:
    """Gauss-Newton's matrix and right side of every frame's pose.

    The pose's six numbers are a turn about the camera's axes through the head's origin, then a shift; ``appearance``
    is grey value, derivatives along the tangents (per metre) and weight of every point.

    Raises:
        ValueError: shapes that do not fit.
    """
    return OPERATIONS["skin_normal"](_packed(view), np.ascontiguousarray(appearance, np.float32), sigma)


def _packed(view: SkinView) -> SkinView:
    """The view in the memory layout of the native form, its shapes checked."""
    n_frames = len(view.images)
    if view.poses.shape != (n_frames, 12) or view.cameras.shape != (n_frames, 3) or view.surface.shape[1] != 12:
        raise ValueError(f"poses {view.poses.shape}, cameras {view.cameras.shape} for {n_frames} images")
    floats = (np.ascontiguousarray(array, np.float32) for array in (view.poses, view.cameras, view.surface))
    return SkinView(np.ascontiguousarray(view.images, np.uint8), *floats)
