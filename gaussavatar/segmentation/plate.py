"""The background without the person, from a static camera."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.image.filling import fill_holes

STATIC_RESIDUAL = 4.0
"""Median background change, 0..255, that sensor noise and compression alone may cause."""

SAME_RESIDUAL = 1.5
"""Residual up to which the background is the same all through the clip: a codec's noise makes about one grey level."""


@dataclass(frozen=True)
class Plate:
    """Background of a clip at some working size."""

    image: Float32[np.ndarray, "h w 3"]
    """RGB, 0..255, holes filled."""
    trust: Float32[np.ndarray, "h w"]
    """1 where the background was seen and stood still, 0 where it was never seen or moves."""
    static: bool
    """Whether the camera stood still."""
    residual: float
    """Median absolute difference of visible background from the plate, 0..255."""

    def resized(self, side: int) -> Plate:
        """The same plate at another size."""
        image, trust = (
            cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in (self.image, self.trust)
        )
        return dataclasses.replace(self, image=image, trust=trust)


def estimate_plate(frames: UInt8[np.ndarray, "n h w 3"], persons: UInt8[np.ndarray, "n h w"], reach: float) -> Plate:
    """Robust background of sampled ``frames`` with person probabilities ``persons`` (0..255).

    Per pixel the median over the frames in which it is farther than ``reach`` pixels from
    the person; where there are fewer than five of these, over those farther than a third of
    it; where there are fewer than three, a smooth fill. (ER-NeRF and its kin take the single farthest
    frame; the median also removes noise and passers-by.)
    """
    far = np.stack([_distance(person) for person in persons])
    near = far > reach / 3.0
    far = far > reach
    height, width = frames.shape[1:3]
    image = np.zeros((height, width, 3), np.float32)
    spread = np.zeros((height, width), np.float32)
    use = np.where(far.sum(0) >= 5, far, near)
    seen = use.sum(0) >= 3
    rows, columns = np.nonzero(seen)
    for start in range(0, len(rows), 1 << 14):
        part = (rows[start : start + (1 << 14)], columns[start : start + (1 << 14)])
        image[part], spread[part] = _robust_colour(frames[:, part[0], part[1]], use[:, part[0], part[1]])
    residual = float(np.median(spread[seen])) if seen.any() else 255.0
    static = bool(seen.any()) and residual <= max(STATIC_RESIDUAL, 0.4 * _texture(image, seen))
    steady = np.exp(-((spread / 14.0) ** 2)) * seen
    image = fill_holes(image, seen.astype(np.float32))
    trust = cv2.blur(steady.astype(np.float32), (3, 3)) * seen if static else np.zeros_like(spread)
    return Plate(image=image, trust=trust.astype(np.float32), static=static, residual=residual)


def _distance(person: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Distance of every pixel to the nearest one that may be person."""
    return cv2.distanceTransform((person < 26).astype(np.uint8), cv2.DIST_L2, 3)


def _robust_colour(
    colours: UInt8[np.ndarray, "n m 3"], use: np.ndarray
) -> tuple[Float32[np.ndarray, "m 3"], Float32[np.ndarray, "m"]]:
    """Median colour and median absolute deviation (mean of the channels) over the samples in ``use``."""
    count = use.sum(0)
    values = np.where(use[..., None], colours, np.int16(256)).transpose(1, 2, 0)
    middle = _masked_median(values, count)
    away = np.abs(values - middle.round().astype(np.int16)[..., None])
    deviation = np.where(use.T[:, None], away, np.int16(256))
    return middle, _masked_median(deviation, count).mean(-1)


def _masked_median(values: np.ndarray, count: np.ndarray) -> Float32[np.ndarray, "m 3"]:
    """Median of the ``count`` smallest entries of the last axis; the masked ones carry larger values."""
    ordered = np.sort(values, axis=-1)
    index = np.maximum(count - 1, 0)[:, None, None]
    low = np.take_along_axis(ordered, index // 2, -1)[..., 0]
    high = np.take_along_axis(ordered, (index + 1) // 2, -1)[..., 0]
    return ((low.astype(np.float32) + high) * 0.5).astype(np.float32)


def _texture(image: Float32[np.ndarray, "h w 3"], seen: np.ndarray) -> float:
    """Mean absolute high-frequency content of the visible background.

    A moving camera changes a pixel by about this much; so a change well below it is
    noise or light even when it exceeds the absolute threshold.
    """
    detail = np.abs(image - cv2.blur(image, (9, 9))).mean(-1)
    inner = cv2.erode(seen.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    return float(detail[inner].mean()) if inner.any() else 0.0
