"""Action units of faces that are moved by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.evaluate.speech_units import LOWER_UNITS, lower_units, unit_errors
from gaussavatar.landmarks.indices import MOUTH_CORNERS
from gaussavatar.types import Tracking

FOCAL, DEPTH, N = 1000.0, 0.6, 120


def head() -> np.ndarray:
    """A face of landmarks on a plane, 10 cm across."""
    return np.random.default_rng(0).uniform(-0.05, 0.05, (478, 3)).astype(np.float32) * [1, 1, 0]


def tracking(n: int) -> Tracking:
    K = np.array([[FOCAL, 0, 256], [0, FOCAL, 256], [0, 0, 1]], np.float32)
    turned = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
    away = np.tile(np.array([0, 0, DEPTH], np.float32), (n, 1))
    return Tracking(
        turned, away, K, 512, head().astype(np.float32), np.zeros((1, 478, 3), np.float32),
        np.zeros((n, 1), np.float32), np.ones(n, bool), np.zeros(n, np.float32),
    )  # fmt: skip


def pixels(rise: np.ndarray) -> np.ndarray:
    """The face's landmarks in pixels, the corners of its mouth raised by so many metres."""
    points = np.tile(head(), (len(rise), 1, 1))
    points[:, list(MOUTH_CORNERS), 1] -= rise[:, None]
    seen = points.copy()
    seen[:, :, :2] = FOCAL * points[:, :, :2] / DEPTH + 256
    return seen


SMILE = 0.004 * np.clip(np.sin(np.arange(N) / 6), 0, 1)


def test_the_same_face_has_no_error_and_a_still_one_the_smiles_own() -> None:
    same = unit_errors(pixels(SMILE), pixels(SMILE), tracking(N), np.arange(N))
    still = unit_errors(pixels(np.zeros(N)), pixels(SMILE), tracking(N), np.arange(N))
    assert same["lower"] == pytest.approx(0, abs=1e-4) and same["upper"] == pytest.approx(0, abs=1e-4)
    assert same["lower_r"] == pytest.approx(1.0, abs=1e-3)
    assert still["lower"] > 0.03 and still["upper"] < 0.02


def test_a_raised_corner_is_unit_twelve() -> None:
    points = np.tile(head(), (N, 1, 1))
    points[:, list(MOUTH_CORNERS), 1] -= SMILE[:, None]
    units = lower_units(points, np.ones(N, bool))
    raised, lowered = (units[:, LOWER_UNITS.index(name)] for name in ("AU12", "AU15"))
    assert np.corrcoef(raised, SMILE)[0, 1] > 0.99 and raised.max() > 0.9
    assert lowered.max() < 0.3 < raised.max() / 3  # Rest is the median, which is a little of a smile.
    assert units[:, LOWER_UNITS.index("AU25")].max() < 0.05


def test_frames_without_a_face_are_left_out_and_too_few_give_nothing() -> None:
    holes = pixels(SMILE)
    holes[10:20] = np.nan
    assert unit_errors(holes, pixels(SMILE), tracking(N), np.arange(N))["lower"] == pytest.approx(0, abs=1e-4)
    none = np.full((N, 478, 3), np.nan)
    assert np.isnan(unit_errors(none, pixels(SMILE), tracking(N), np.arange(N))["lower"])
