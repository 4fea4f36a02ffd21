"""Frames in the dark of a fade: the person is there, and nothing can be learnt of their colours."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from gaussavatar.capture.suitability import FADE_SECONDS
from gaussavatar.storage import FrameStore
from gaussavatar.types import VIDEO_FPS, Landmarks

_STRIDE = 4
_DARK = 0.6
"""Mean level of a face against the clip's usual one: below, some two stops of light are missing."""

_FULL, _SLOPE_SECONDS = 0.93, 1.0
"""Level from which on a face is in its usual light again, and how long the way there may take."""


def find_faded(frames: FrameStore, landmarks: Landmarks) -> Bool[np.ndarray, "n"]:
    """Frames of at most two seconds whose face is far darker than it is in most of the clip, and the way there."""
    levels = face_levels(frames, landmarks)
    known = np.isfinite(levels)
    usual = float(np.median(levels[known])) if known.any() else 0.0
    dark = known & (np.nan_to_num(levels) < _DARK * usual)
    edges = np.flatnonzero(np.diff(np.pad(dark, 1).astype(np.int8)))
    for first, stop in edges.reshape(-1, 2):
        # Who stays in the dark is in another light, which can be learnt.
        if stop - first > FADE_SECONDS * VIDEO_FPS:
            dark[first:stop] = False
    return _with_slopes(dark, known & (np.nan_to_num(levels) < _FULL * usual))


def _with_slopes(dark: Bool[np.ndarray, "n"], dim: Bool[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Dark frames, and dim ones without a gap between them and the dark, up to a second."""
    grown, after = dark.copy(), dark.copy()
    for _ in range(round(_SLOPE_SECONDS * VIDEO_FPS)):
        after = dim & (np.append(after[1:], False) | np.append(False, after[:-1])) & ~grown
        grown |= after
    return grown


def face_levels(frames: FrameStore, landmarks: Landmarks) -> Float[np.ndarray, "n"]:
    """Mean pixel value (0..255) of the face's box in every frame; NaN where there is no face."""
    levels = np.full(len(frames), np.nan)
    scale = frames.shape[1] / landmarks.size
    for index in np.flatnonzero(landmarks.valid):
        points = landmarks.points[index, :, :2] * scale
        x0, y0 = np.clip(points.min(0), 0, None).astype(int)
        x1, y1 = np.ceil(points.max(0)).astype(int)
        face = frames.read(int(index))[y0:y1:_STRIDE, x0:x1:_STRIDE]
        if face.size:
            levels[index] = face.mean()
    return levels
