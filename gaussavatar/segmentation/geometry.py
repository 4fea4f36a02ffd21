"""Where the head ends, from the landmarks: outlines in pixels of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gaussavatar.errors import UserError
from gaussavatar.types import Landmarks, Tracking

JAW = (58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
"""The face oval from below the image-left ear along the chin to below the image-right ear."""

OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The face oval, closed, clockwise in the image from the middle of the forehead."""

INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
"""The edge of the mouth opening, closed."""

OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
"""The lips' outer edge, closed."""

BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
"""Upper edge of the brows, from image-left to image-right."""

TEMPLES = (127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356)
"""The face oval's upper part, from before the image-left ear over the forehead to before the image-right one."""

LIP_PAIRS = ((82, 87), (13, 14), (312, 317))
"""Upper and lower inner-lip points that face each other near the middle."""

FOREHEAD = 0.3
"""Of the face's height: as far above the face oval skin may go on."""

LEFT_EAR, RIGHT_EAR = 234, 454
"""Oval points in front of the ears, image-left and image-right."""


@dataclass(frozen=True)
class Outlines:
    """Landmarks of a clip in pixels of the output size, gaps closed, and what is derived from them."""

    points: Float32[np.ndarray, "n 478 2"]
    R_camera_head: Float32[np.ndarray, "n 3 3"]
    face_height: float
    """Median distance forehead to chin in pixels: the clip's unit of length."""
    face_width: float
    """Distance between the ears in pixels, turned to the front."""
    size: int


def outlines_of(landmarks: Landmarks, tracking: Tracking, size: int) -> Outlines:
    """Bring the landmarks to pixels of a ``size`` image, close gaps, and measure the face.

    The points are smoothed over three frames (1/4, 1/2, 1/4): that leaves even motion
    unchanged and takes the detector's frame-to-frame wobble out of the mask edges.

    Raises:
        UserError: no frame of the clip has landmarks.
    """
    if not landmarks.valid.any():
        raise UserError("a face in the clip", "no frame with landmarks", "choose a clip that shows one person's face")
    points = _close_gaps(landmarks.points[:, :, :2] * np.float32(size / landmarks.size), landmarks.valid)
    padded = np.concatenate([points[:1], points, points[-1:]])
    smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    height = np.linalg.norm(points[:, 10] - points[:, 152], axis=-1)
    width = np.linalg.norm(points[:, LEFT_EAR] - points[:, RIGHT_EAR], axis=-1)
    return Outlines(
        points=smooth.astype(np.float32),
        R_camera_head=tracking.R_camera_head,
        face_height=float(np.median(height[landmarks.valid])),
        face_width=float(np.percentile(width[landmarks.valid], 80)),
        size=size,
    )


def _close_gaps(points: Float32[np.ndarray, "n 478 2"], valid: Bool[np.ndarray, "n"]) -> Float32[np.ndarray, "n 478 2"]:
    """Interpolate the frames without landmarks linearly in time."""
    if valid.all():
        return points
    known = np.flatnonzero(valid)
    right = np.clip(np.searchsorted(known, np.arange(len(points))), 0, len(known) - 1)
    left = np.clip(right - 1, 0, len(known) - 1)
    before, after = known[left], known[right]
    span = np.maximum(after - before, 1)
    share = np.clip((np.arange(len(points)) - before) / span, 0.0, 1.0)[:, None, None].astype(np.float32)
    return np.where(valid[:, None, None], points, points[before] * (1 - share) + points[after] * share)


def jaw_curve(outlines: Outlines, index: int, margin: float) -> Float32[np.ndarray, "15 2"]:
    """The jaw line of frame ``index``, ear to ear, moved outward from the face by ``margin`` face heights."""
    points = outlines.points[index]
    centre = points[[LEFT_EAR, RIGHT_EAR]].mean(0)
    jaw = points[list(JAW)]
    outward = jaw - centre
    return jaw + outward / np.linalg.norm(outward, axis=-1, keepdims=True) * (margin * outlines.face_height)


def head_outline(outlines: Outlines, index: int, margin: float) -> Float32[np.ndarray, "p 2"]:
    """Closed polygon around everything that may be head: jaw line below, generous room above.

    From the ends of the jaw line the cut runs backward below the ears (a head-space
    direction, so that it follows the pose) and then outward; above it the polygon
    is wide enough for hair, and the person mask decides.
    """
    jaw = jaw_curve(outlines, index, margin)
    axes = outlines.R_camera_head[index][:2].T * outlines.face_width
    right, down, back = axes[0], axes[1], axes[2]
    left_ear, right_ear = jaw[0], jaw[-1]
    left_back = left_ear + 0.55 * back - 0.12 * right + 0.02 * down
    right_back = right_ear + 0.55 * back + 0.12 * right + 0.02 * down
    # In profile "backward" of the far ear points into the face; there the jaw end itself is the edge.
    if (left_back - left_ear) @ right > 0:
        left_back = left_ear - 0.12 * right + 0.02 * down
    if (right_back - right_ear) @ right < 0:
        right_back = right_ear + 0.12 * right + 0.02 * down
    # Bounds of the hair: an ellipse's upper half about the skull, in head axes.
    centre = outlines.points[index][[LEFT_EAR, RIGHT_EAR]].mean(0) + 0.3 * back
    angles = np.linspace(0.0, np.pi, 17)[:, None]
    dome = centre + np.cos(angles) * right * 1.25 - np.sin(angles) * down * 1.5
    return np.concatenate([jaw, right_back[None], dome, left_back[None]]).astype(np.float32)


def face_hull(outlines: Outlines, index: int, margin: float) -> Float32[np.ndarray, "p 2"]:
    """Convex outline of the whole face, widened by ``margin`` face heights.

    In half profile nose, lips and chin stand out beyond the far end of the jaw line.
    """
    hull = cv2.convexHull(outlines.points[index][:468].astype(np.float32))[:, 0]
    outward = hull - hull.mean(0)
    scale = margin * outlines.face_height / np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-3)
    return (hull + outward * scale).astype(np.float32)


def face_core(outlines: Outlines, index: int) -> Float32[np.ndarray, "p 2"]:
    """Convex part of the face that is face whatever its colours: brows, eyes, and what lies well inside below."""
    points = outlines.points[index]
    oval = points[list(OVAL)]
    lower = points[[132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361]]
    centre = oval.mean(0)
    kept = np.concatenate([centre + 0.9 * (lower - centre), points[list(BROWS)], points[[33, 263]]])
    return cv2.convexHull(kept.astype(np.float32))[:, 0]


def forehead(outlines: Outlines, index: int) -> Float32[np.ndarray, "p 2"]:
    """Polygon from the temples up to as far as a high forehead reaches above the face oval."""
    base = outlines.points[index][list(TEMPLES)]
    up = -outlines.R_camera_head[index][:2, 1]
    up = up / max(float(np.linalg.norm(up)), 1e-3)
    arch = np.sin(np.linspace(0.0, np.pi, len(TEMPLES)))[:, None] ** 0.7
    raised = base + up * (FOREHEAD * outlines.face_height) * arch
    return np.concatenate([base, raised[::-1]]).astype(np.float32)


def draw_polygon(polygon: Float32[np.ndarray, "p 2"], size: int) -> UInt8[np.ndarray, "h w"]:
    """Fill a polygon with antialiased edges, 0 or 255; pixel centres are at +0.5."""
    canvas = np.zeros((size, size), np.uint8)
    fixed = np.round((polygon - 0.5) * 16.0).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], (255,), cv2.LINE_AA, shift=4)
    return canvas


def draw_small_polygon(polygon: Float32[np.ndarray, "p 2"], size: int, factor: int = 4) -> UInt8[np.ndarray, "h w"]:
    """Like :func:`draw_polygon`, exact coverage: the polygon's box is drawn enlarged and averaged down."""
    canvas = np.zeros((size, size), np.uint8)
    low = np.clip(np.floor(polygon.min(0)).astype(int) - 1, 0, size)
    high = np.clip(np.ceil(polygon.max(0)).astype(int) + 1, 0, size)
    width, height = high - low
    if width <= 0 or height <= 0:
        return canvas
    large = np.zeros((height * factor, width * factor), np.uint8)
    fixed = np.round(((polygon - low) * factor - 0.5) * 16.0).astype(np.int32)
    cv2.fillPoly(large, [fixed], (255,), cv2.LINE_8, shift=4)
    small = cv2.resize(large, (int(width), int(height)), interpolation=cv2.INTER_AREA)
    canvas[low[1] : high[1], low[0] : high[0]] = small
    return canvas


def mouth_opening(outlines: Outlines, index: int) -> float:
    """Inner-lip gap near the middle, in pixels."""
    points = outlines.points[index]
    upper, lower = (points[[pair[side] for pair in LIP_PAIRS]] for side in (0, 1))
    return float(np.linalg.norm(upper - lower, axis=-1).mean())
