"""Action-unit error: how far the rendered face's muscles stand from the real one's, above and below.

Both faces are read by the same landmark detector with the same poses taken out, and calibrated on the real frames:
0 is the person's rest, 1 their strong movement, as in :mod:`gaussavatar.tracking.head.signals`. The upper units are
those that are tracked. The lower ones are read from heights and gaps of the lips, since speech moves them: 10 upper
lip raised, 12 corners raised, 15 corners lowered, 18 puckered, 20 stretched, 24 pressed, 25 parted, 26 jaw dropped
(Ekman and Friesen 1978). OpenFace's intensities, which papers report, are in other units: compare within this table.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from gaussavatar.evaluate.metrics import LANDMARK_SIZE
from gaussavatar.landmarks.detect import fill_gaps
from gaussavatar.landmarks.indices import LIP_GAP_PAIRS, MOUTH_CORNERS
from gaussavatar.landmarks.measures import eye_openness
from gaussavatar.statistics import correlation
from gaussavatar.tracking.face.motion import head_space_landmarks
from gaussavatar.tracking.face.upper_face import blink_closure
from gaussavatar.tracking.head.signals import ACTION_UNITS, calibrate, mouth_features, units_of_landmarks
from gaussavatar.types import Landmarks, Tracking

LOWER_UNITS = ("AU10", "AU12", "AU15", "AU18", "AU20", "AU24", "AU25", "AU26")

_UPPER_LIP, _CHIN = (37, 0, 267), (148, 152, 377)
_OUTER_LIP_PAIRS = ((0, 17), (37, 84), (267, 314))
_FLOOR = 0.0015
"""Metres: the least movement that counts as strong."""


def unit_errors(
    rendered: Float[np.ndarray, "n 478 3"],
    real: Float[np.ndarray, "n 478 3"],
    tracking: Tracking,
    indices: Int[np.ndarray, "n"],
) -> dict[str, float]:
    """Mean absolute error and mean correlation of upper and lower action units over the frames that both show.

    Args:
        rendered, real: landmarks in pixels at :data:`~gaussavatar.evaluate.metrics.LANDMARK_SIZE`; nan without a face.
        tracking: poses and shape of the clip.
        indices: the clip's frame of each.
    """
    found = [np.isfinite(points[:, 0, 0]) for points in (rendered, real)]
    both = found[0] & found[1]
    if both.sum() < 8:
        return {name: float("nan") for name in ("upper", "lower", "upper_r", "lower_r")}
    filled = [fill_gaps(np.nan_to_num(p).astype(np.float32), f) for p, f in zip((rendered, real), found, strict=True)]
    points = head_space_landmarks(
        Landmarks(np.concatenate(filled[::-1]), np.concatenate(found[::-1]), LANDMARK_SIZE), _frames(tracking, indices)
    )
    used = np.concatenate([both, np.zeros_like(both)])
    figures = {}
    for part, columns in (("upper", upper_units(points, used)), ("lower", lower_units(points, used))):
        truth, shown = columns[: len(both)][both], columns[len(both) :][both]
        figures[part] = float(np.abs(shown - truth).mean())
        moving = [correlation(a, b) for a, b in zip(shown.T, truth.T, strict=True) if b.std() > 0.02]
        figures[f"{part}_r"] = float(np.mean(moving)) if moving else float("nan")
    return figures


def upper_units(points: Float[np.ndarray, "n 478 3"], used: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n 13"]:
    """The tracked action units (:data:`ACTION_UNITS`) of head-space landmarks, calibrated on the used frames."""
    shut = np.stack([blink_closure(eye_openness(points)[:, eye], used) for eye in (1, 0)], 1)
    units = units_of_landmarks(points, shut, mouth_features(points), used)
    if len(units) != len(ACTION_UNITS):
        raise ValueError(f"{len(ACTION_UNITS)} action units, got {len(units)}")
    return np.stack([values for values, _, _ in units], 1)


def lower_units(points: Float[np.ndarray, "n 478 3"], used: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n 8"]:
    """The action units of :data:`LOWER_UNITS`, calibrated on the used frames."""

    def gap(pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
        upper, lower = ([pair[side] for pair in pairs] for side in (0, 1))
        return np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=-1).mean(axis=1)

    corners = points[:, list(MOUTH_CORNERS)]
    rise = -corners[:, :, 1].mean(axis=1)
    wide = np.linalg.norm(corners[:, 0, :2] - corners[:, 1, :2], axis=-1)
    parted = gap(LIP_GAP_PAIRS)
    measures = (
        -points[:, list(_UPPER_LIP), 1].mean(axis=1),
        rise,
        -rise,
        -wide,
        wide,
        parted - gap(_OUTER_LIP_PAIRS),
        parted,
        points[:, list(_CHIN), 1].mean(axis=1),
    )
    return np.stack([calibrate(values, used, _FLOOR)[0] for values in measures], 1)


def _frames(tracking: Tracking, indices: Int[np.ndarray, "n"]) -> Tracking:
    """The tracking of these frames, twice over: for the real faces and for the rendered ones."""
    twice = np.concatenate([indices, indices])
    names = ("R_camera_head", "t_camera_head", "codes", "valid", "rms")
    return replace(tracking, **{name: getattr(tracking, name)[twice] for name in names})
