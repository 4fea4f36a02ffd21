"""Smooth extrapolation of partly known images, and the small filters that the masks share."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32


def fill_holes(
    values: Float32[np.ndarray, "h w c"], weight: Float32[np.ndarray, "h w"], coarsest: int = 2
) -> Float32[np.ndarray, "h w c"]:
    """Extend ``values`` smoothly to where ``weight`` is zero (push-pull pyramid).

    Each level halves the image by weighted means; on the way back a pixel keeps its own
    value to the degree that it is known and takes the coarser level's for the rest
    (after Gortler et al., The Lumigraph, 1996, section 3.4).
    """
    levels = []
    premultiplied, known = values * weight[..., None], weight
    while min(known.shape) > coarsest:
        levels.append((premultiplied, known))
        half = (max(1, known.shape[1] // 2), max(1, known.shape[0] // 2))
        premultiplied = cv2.resize(premultiplied, half, interpolation=cv2.INTER_AREA).reshape(half[1], half[0], -1)
        known = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
        # A parent with any known child counts as known: it is the mean of those children.
        scale = np.minimum(1.0, 4.0 * known) / np.maximum(known, 1e-6)
        premultiplied, known = premultiplied * scale[..., None], known * scale
    total = max(float(known.sum()), 1e-6)
    filled = np.broadcast_to(premultiplied.sum((0, 1)) / total, (*known.shape, values.shape[2]))
    filled = (premultiplied + filled * (1.0 - known)[..., None]).astype(np.float32)
    for premultiplied, known in reversed(levels):
        wide = cv2.resize(filled, known.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(premultiplied.shape)
        filled = premultiplied + wide * (1.0 - known)[..., None]
    return filled


def weighted_blur(
    values: Float32[np.ndarray, "h w c"], weight: Float32[np.ndarray, "h w"], radius: int
) -> tuple[Float32[np.ndarray, "h w c"], Float32[np.ndarray, "h w"]]:
    """Mean of ``values`` over a box of ``radius``, counting only where ``weight`` is; and the mean weight."""
    side = (2 * radius + 1, 2 * radius + 1)
    mean_weight = cv2.blur(weight, side)
    mean = cv2.blur(values * weight[..., None], side).reshape(values.shape)
    return mean / np.maximum(mean_weight, 1e-4)[..., None], mean_weight


def guided_filter(
    guide: Float32[np.ndarray, "h w"], values: Float32[np.ndarray, "h w"], radius: int, epsilon: float
) -> Float32[np.ndarray, "h w"]:
    """Edge-preserving smoothing of ``values`` along the edges of ``guide``.

    He, Sun and Tang, Guided Image Filtering, 2010, equations 5, 6 and 8, with box
    windows of side ``2 radius + 1``; ``epsilon`` is in squared units of the guide.
    """
    side = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean_values = cv2.blur(guide, side), cv2.blur(values, side)
    covariance = cv2.blur(guide * values, side) - mean_guide * mean_values
    variance = cv2.blur(guide * guide, side) - mean_guide * mean_guide
    slope = covariance / (variance + epsilon)
    offset = mean_values - slope * mean_guide
    return cv2.blur(slope, side) * guide + cv2.blur(offset, side)


def disc(radius: int) -> np.ndarray:
    """Structuring element of a disc."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilate a boolean mask by ``radius`` pixels."""
    return cv2.dilate(mask.astype(np.uint8), disc(radius)).astype(bool)


def shrink(mask: np.ndarray, radius: int) -> np.ndarray:
    """Erode a boolean mask by ``radius`` pixels; the image border does not eat into it."""
    return cv2.erode(mask.astype(np.uint8), disc(radius), borderType=cv2.BORDER_REPLICATE).astype(bool)


def soft_step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, a smooth cubic between (``low`` may exceed ``high``)."""
    x = np.clip((values - low) / (high - low), 0.0, 1.0)
    return (x * x * (3.0 - 2.0 * x)).astype(np.float32)
