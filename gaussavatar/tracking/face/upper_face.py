"""Named channels of lids, brows and gaze, calibrated per clip: 0 is rest, 1 this person's strong movement.

The channels stand for action units (Ekman and Friesen 1978): blink AU45, wide AU5, squint AU6/7, brow_inner
AU1, brow_outer AU2, brow_down AU4. They are read from head-space landmarks, so the head's pose is not in them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy.signal import medfilt, savgol_filter

from gaussavatar.landmarks.indices import (
    LEFT_EYE_CORNERS,
    LEFT_IRIS,
    LEFT_LID_PAIRS,
    RIGHT_EYE_CORNERS,
    RIGHT_IRIS,
    RIGHT_LID_PAIRS,
)
from gaussavatar.landmarks.measures import eye_openness

CHANNEL_NAMES = (
    "blink_left", "blink_right", "wide", "squint", "brow_inner", "brow_outer", "brow_down", "gaze_x", "gaze_y",
)  # fmt: skip

_CLOSED_OVER_OPEN = 0.35
"""A lid gap under this part of the open one counts as closed even in a clip without a blink."""

_LEAST_CLOSED_OVER_OPEN = 0.1
_STRONG_PERCENTILE = 97.0
_LID_FLOOR, _BROW_FLOOR, _GAZE_FLOOR = 0.0008, 0.002, 0.06
"""Least movement that counts as strong: metres, metres, and eye widths."""

_MAX_CHANNEL = 1.5

_INNER_BROWS = (55, 107, 65, 66, 285, 336, 295, 296)
_OUTER_BROWS = (46, 70, 53, 63, 276, 300, 283, 293)
_MIDDLE_BROWS = (52, 105, 282, 334)


def upper_channels(points: Float[np.ndarray, "n 478 3"], used: Bool[np.ndarray, "n"]) -> Float32[np.ndarray, "n 9"]:
    """Channels of every frame in the order of :data:`CHANNEL_NAMES`.

    Blinks lie in 0..1 (1 closed) and are not smoothed; gaze is signed (x to the image's right, y down) and held
    through blinks; the others lie in 0..1.5.

    Args:
        points: Head-space landmarks, metres.
        used: Frames to calibrate on.
    """
    openness = eye_openness(points)
    right, left = (blink_closure(openness[:, eye], used) for eye in (0, 1))
    shut = np.maximum(left, right)
    calm = used & (shut < 0.3) if (used & (shut < 0.3)).sum() > 10 else used
    gaze = _gaze(points, shut, calm)
    upper_lid, lower_lid = _lid_heights(points)
    upper_lid = upper_lid - _explained(upper_lid, gaze[:, 1], calm)
    open_part = np.clip(1 - 2 * shut, 0, 1)
    upper_lid = open_part * (upper_lid - np.median(upper_lid[calm]))
    lower_lid = open_part * (lower_lid - np.median(lower_lid[calm]))
    inner, outer, middle = (
        _without_blinks(_height(points, brow), shut, used) for brow in (_INNER_BROWS, _OUTER_BROWS, _MIDDLE_BROWS)
    )
    closeness = points[:, 55, 0] - points[:, 285, 0]
    channels = [
        left,
        right,
        _raised(upper_lid, calm, _LID_FLOOR),
        _raised(lower_lid, calm, _LID_FLOOR),
        _raised(inner, used, _BROW_FLOOR),
        _raised(outer, used, _BROW_FLOOR),
        _raised(-(inner + middle + outer) / 3 + 0.5 * (closeness - np.median(closeness[used])), used, _BROW_FLOOR),
        _signed(gaze[:, 0], calm),
        _signed(gaze[:, 1], calm),
    ]
    return np.stack(channels, 1).astype(np.float32)


def blink_closure(openness: Float[np.ndarray, "n"], used: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """How far an eye is closed, 0..1, from its lid gap over its width; 1 is this person's closed eye."""
    opened = np.percentile(openness[used], 60)
    closed = np.clip(np.percentile(openness[used], 0.5), _LEAST_CLOSED_OVER_OPEN * opened, _CLOSED_OVER_OPEN * opened)
    return np.clip((opened - openness) / (opened - closed), 0.0, 1.0)


def _height(points: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    """Mean height of points (metres, upwards positive)."""
    return -points[:, list(indices), 1].mean(1)


def _lid_heights(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights of upper and lower lids above the line of the eye's corners, mean of both eyes, metres."""
    upper, lower = np.zeros(len(points)), np.zeros(len(points))
    eyes = ((RIGHT_LID_PAIRS, RIGHT_EYE_CORNERS), (LEFT_LID_PAIRS, LEFT_EYE_CORNERS))
    for pairs, corners in eyes:
        line = _height(points, corners)
        upper += 0.5 * (_height(points, tuple(pair[0] for pair in pairs)) - line)
        lower += 0.5 * (_height(points, tuple(pair[1] for pair in pairs)) - line)
    return upper, lower


def _gaze(points: np.ndarray, shut: np.ndarray, calm: np.ndarray) -> Float[np.ndarray, "n 2"]:
    """Iris centres from the middle of the eye's corners in eye widths, mean of both eyes, median taken out."""
    offsets = []
    for iris, corners in ((RIGHT_IRIS, RIGHT_EYE_CORNERS), (LEFT_IRIS, LEFT_EYE_CORNERS)):
        ends = points[:, list(corners), :2]
        width = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1, keepdims=True)
        offsets.append((points[:, iris[0], :2] - ends.mean(1)) / np.maximum(width, 1e-6))
    gaze = np.mean(offsets, axis=0)
    gaze = gaze - np.median(gaze[calm], axis=0)
    # Under a closing lid the detector's iris goes astray.
    known = np.flatnonzero(shut < 0.5)
    if len(known):
        frames = np.arange(len(gaze))
        gaze = np.stack([np.interp(frames, known, gaze[known, axis]) for axis in (0, 1)], 1)
    return gaze


def _explained(values: np.ndarray, by: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The part of ``values`` that goes linearly with ``by`` (lids follow the gaze)."""
    centred = by[used] - by[used].mean()
    slope = centred @ (values[used] - values[used].mean()) / max(centred @ centred, 1e-12)
    return slope * (by - by[used].mean())


def _without_blinks(heights: np.ndarray, shut: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Take out how the detector lifts the brows with every blink, learnt from frame-to-frame changes."""
    both = used[1:] & used[:-1]
    closing = np.diff(shut)[both]
    slope = closing @ np.diff(heights)[both] / max(closing @ closing, 1e-3)
    return heights - slope * shut


def _smooth(values: np.ndarray) -> np.ndarray:
    # With five frames the detector's noise in brows and gaze still shook the eyes' corners of the avatar visibly.
    return savgol_filter(values, 7, 2) if len(values) >= 7 else values


def _raised(values: np.ndarray, used: np.ndarray, floor: float) -> np.ndarray:
    values = _smooth(values - np.median(values[used]))
    strong = max(floor, float(np.percentile(values[used], _STRONG_PERCENTILE)))
    return np.clip(values / strong, 0.0, _MAX_CHANNEL)


def _signed(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    # The median takes the iris's noise out and leaves a saccade its step.
    values = medfilt(values, 5)
    strong = max(_GAZE_FLOOR, float(np.percentile(np.abs(values[used]), _STRONG_PERCENTILE)))
    return np.clip(values / strong, -_MAX_CHANNEL, _MAX_CHANNEL)
