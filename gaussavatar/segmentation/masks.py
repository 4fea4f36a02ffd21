"""The four soft masks of one frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.segmentation.geometry import (
    INNER_LIPS,
    OVAL,
    Outlines,
    draw_polygon,
    draw_small_polygon,
    head_outline,
    mouth_opening,
)
from gaussavatar.segmentation.records import SegmentationConfig


def head_region(outlines: Outlines, index: int, config: SegmentationConfig) -> Float32[np.ndarray, "h w"]:
    """Soft region, 0..1, above the jaw line and below the ears' level no wider than the face."""
    polygon = draw_polygon(head_outline(outlines, index, config.jaw_margin), outlines.size)
    sigma = max(0.5, config.jaw_feather * outlines.face_height)
    return cv2.GaussianBlur(polygon, (0, 0), sigma).astype(np.float32) / 255.0


def mouth_mask(outlines: Outlines, index: int, config: SegmentationConfig) -> UInt8[np.ndarray, "h w"]:
    """Inside of the mouth: the inner-lip polygon; zero while the lips are closed, fading in above."""
    opening = mouth_opening(outlines, index) * 512.0 / outlines.size
    strength = float(np.clip((opening - config.min_mouth_opening) / 1.0, 0.0, 1.0))
    if strength == 0.0:
        return np.zeros((outlines.size, outlines.size), np.uint8)
    polygon = draw_small_polygon(outlines.points[index][list(INNER_LIPS)], outlines.size)
    return polygon if strength == 1.0 else (polygon * strength).astype(np.uint8)


def face_mask(
    outlines: Outlines, index: int, head: UInt8[np.ndarray, "h w"], mouth: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """The face oval inside the head, without the inside of the mouth."""
    oval = draw_polygon(outlines.points[index][list(OVAL)], outlines.size)
    oval = cv2.GaussianBlur(oval, (0, 0), max(0.5, 0.008 * outlines.face_height))
    return np.minimum(np.minimum(oval, head), 255 - mouth)


def to_bytes(alpha: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """0..1 to 0..255, rounded."""
    return cv2.convertScaleAbs(alpha, alpha=255.0)
