"""Openings of mouth and eyes from landmarks, in units that do not depend on the picture's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gaussavatar.landmarks.indices import (
    LEFT_EYE_CORNERS,
    LEFT_LID_PAIRS,
    LIP_GAP_PAIRS,
    MOUTH_CORNERS,
    OUTER_EYE_CORNERS,
    RIGHT_EYE_CORNERS,
    RIGHT_LID_PAIRS,
)


def lip_aperture(points: Float[np.ndarray, "*b 478 d"]) -> Float[np.ndarray, "*b"] | np.floating:
    """Inner-lip gap (mean of three pairs) over the distance of the outer eye corners, in the image plane."""
    return _gap(points, LIP_GAP_PAIRS) / _distance(points, *OUTER_EYE_CORNERS)


def lip_width(points: Float[np.ndarray, "*b 478 d"]) -> Float[np.ndarray, "*b"] | np.floating:
    """Distance of the mouth corners over that of the outer eye corners, in the image plane."""
    return _distance(points, *MOUTH_CORNERS) / _distance(points, *OUTER_EYE_CORNERS)


def eye_openness(points: Float[np.ndarray, "*b 478 d"]) -> Float[np.ndarray, "*b 2"]:
    """Lid gap (mean of three pairs) over the eye's width, right eye then left eye, in the image plane.

    The eye aspect ratio of Soukupova and Cech 2016 (eq. 1) with three lid pairs instead of two.
    """
    right = _gap(points, RIGHT_LID_PAIRS) / _distance(points, *RIGHT_EYE_CORNERS)
    left = _gap(points, LEFT_LID_PAIRS) / _distance(points, *LEFT_EYE_CORNERS)
    return np.stack([right, left], axis=-1)


def _distance(points: Float[np.ndarray, "*b 478 d"], a: int, b: int) -> Float[np.ndarray, "*b"] | np.floating:
    return np.maximum(np.linalg.norm(points[..., a, :2] - points[..., b, :2], axis=-1), 1e-6)


def _gap(
    points: Float[np.ndarray, "*b 478 d"], pairs: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "*b"] | np.floating:
    upper, lower = (list(side) for side in zip(*pairs, strict=True))
    gaps = np.linalg.norm(points[..., upper, :2] - points[..., lower, :2], axis=-1)
    return gaps.mean(axis=-1)
