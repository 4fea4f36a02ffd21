"""Smooth extrapolation of partly known images, and the small filters that the masks share."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.easing import smoothstep


def fill_holes(
    values: Float32[np.ndarray, "h w c"], weight: Float32[np.ndarray, "h w"], coarsest: int = 4
) -> Float32[np.ndarray, "h w c"]:
    """Extend ``values`` smoothly to where ``weight`` is zero (push-pull pyramid).

    Each level halves the image by weighted Gaussian means; on the way back a pixel keeps its own
    value to the degree that it is known and takes the coarser level's for the rest
    (after Gortler et al., The Lumigraph, 1996, section 3.4). Three channels.
    """
    levels = []
    both = cv2.merge([values * weight[..., None], weight])
    while min(both.shape[:2]) > coarsest:
        levels.append(both)
        both = cv2.pyrDown(both)
        # A parent that sees a fair share of known children counts as known.
        known = both[..., 3:]
        both = both * (np.minimum(1.0, 4.0 * known) / np.maximum(known, 1e-6))
    mean = both[..., :3].sum((0, 1)) / max(float(both[..., 3].sum()), 1e-6)
    filled = both[..., :3] + mean * (1.0 - both[..., 3:])
    for both in reversed(levels):
        wide = cv2.pyrUp(filled.astype(np.float32), dstsize=both.shape[1::-1])
        filled = both[..., :3] + wide * (1.0 - both[..., 3:])
    return filled


def shrunk(image: UInt8[np.ndarray, "h h *c"], side: int) -> UInt8[np.ndarray, "s s *c"]:
    """Area mean at ``side``; by halves as far as that goes, which OpenCV does several times faster than at one go."""
    while image.shape[0] > 2 * side and image.shape[0] % 2 == 0:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
    return image if image.shape[0] == side else cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def channel_sum(values: Float32[np.ndarray, "... 3"]) -> Float32[np.ndarray, "..."]:
    """Sum over three channels; far faster than a reduction over so short an axis."""
    return values[..., 0] + values[..., 1] + values[..., 2]


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
    return smoothstep(np.clip((values - low) / (high - low), 0.0, 1.0)).astype(np.float32)


def complete_background(
    image: UInt8[np.ndarray, "s s 3"],
    empty: Float32[np.ndarray, "s s"],
    plate: Float32[np.ndarray, "s s 3"] | None,
) -> Float32[np.ndarray, "s s 3"]:
    """Background of one frame everywhere.

    With a static camera the plate, corrected by the smoothly continued difference of the
    visible background (``empty``) from it, which follows exposure and slowly moving
    light; otherwise the smoothly continued visible background itself.
    """
    side = image.shape[0]
    # What the plate has to be corrected by is smoother than the background itself.
    part = 2 if plate is None else 4
    small = (max(2, side // part), max(2, side // part))
    weight = cv2.resize(empty, small, interpolation=cv2.INTER_AREA)
    weight = cv2.threshold(weight, 0.6, 0.0, cv2.THRESH_TOZERO)[1]
    seen = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    if plate is None:
        return cv2.resize(fill_holes(seen, weight), (side, side), interpolation=cv2.INTER_LINEAR)
    known = cv2.resize(plate, small, interpolation=cv2.INTER_AREA)
    change = fill_holes(seen - known, weight)
    return cv2.add(plate, cv2.resize(change, (side, side), interpolation=cv2.INTER_LINEAR))
