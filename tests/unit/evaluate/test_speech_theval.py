"""THEval's figures on faces drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.evaluate.metrics import LIPS
from gaussavatar.evaluate.speech_theval import (
    LOWER,
    UPPER,
    lip_dynamics,
    lip_sync,
    score,
    silent_lip_stability,
    theval_figures,
    volume,
)
from gaussavatar.landmarks.indices import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from gaussavatar.types import Waveform


def faces(gap: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Faces whose outer eye corners are 100 px apart (times ``scale``), with lips ``gap`` of that apart."""
    points = np.zeros((len(gap), 478, 3))
    points[:, list(LIPS), 0] = np.linspace(180, 220, len(LIPS))
    points[:, list(LIPS), 1] = 300.0
    for (outer, inner), x in ((RIGHT_EYE_CORNERS, (150.0, 180.0)), (LEFT_EYE_CORNERS, (250.0, 220.0))):
        points[:, outer, 0], points[:, inner, 0] = x
    points[:, list(UPPER), 1] -= 50 * gap[:, None]
    points[:, list(LOWER), 1] += 50 * gap[:, None]
    return points * scale


GAP = 0.1 + 0.08 * np.sin(np.arange(200) / 4.0)


def test_the_real_face_scores_one_in_everything_at_any_size() -> None:
    silent = np.arange(200) < 40
    figures = theval_figures(faces(GAP, 3.0), faces(GAP), GAP.copy(), silent, ~silent)
    assert set(figures) == {"lip_dynamics", "silent_lip_stability", "lip_sync"}
    assert all(entry["score"] == pytest.approx(1.0) for entry in figures.values())


def test_a_still_mouth_has_no_dynamics_and_is_stable_in_silence() -> None:
    still = faces(np.full(200, 0.1))
    silent = np.arange(200) < 100
    assert lip_dynamics(still) == pytest.approx(0.0, abs=1e-12)
    assert silent_lip_stability(still, silent) == pytest.approx(0.0, abs=1e-12)
    figures = theval_figures(still, faces(GAP), GAP, silent, ~silent)
    assert figures["lip_dynamics"]["score"] == pytest.approx(0.0)


def test_dynamics_go_with_the_square_of_the_movement_about_a_wide_mouth() -> None:
    swing = np.sin(np.arange(200) / 4.0)
    small, large = (lip_dynamics(faces(2.0 + size * swing)) for size in (0.01, 0.02))
    assert large / small == pytest.approx(4.0, rel=0.02)


def test_stability_is_the_median_distance_from_the_mean_and_knows_only_silence() -> None:
    gap = np.where(np.arange(200) % 4 == 0, 0.2, 0.1)  # Mean .125: distances .075 and .025.
    silent = np.arange(200) < 100
    gap[100:] = 0.5
    assert silent_lip_stability(faces(gap), silent) == pytest.approx(0.025)
    assert np.isnan(silent_lip_stability(faces(gap), np.zeros(200, bool)))


def test_lip_sync_is_nothing_where_opening_follows_loudness_and_one_where_it_is_the_opposite() -> None:
    spoken = np.ones(200, bool)
    steps = np.tile([0.0, 0.3], 100)
    assert lip_sync(faces(steps), 7.0 * steps, spoken) == pytest.approx(0.0, abs=1e-6)
    assert lip_sync(faces(steps), -steps, spoken) == pytest.approx(1.0, abs=1e-6)
    assert np.isnan(lip_sync(faces(steps), steps, np.arange(200) < 10))


def test_frames_without_a_face_are_left_out() -> None:
    holes = faces(GAP)
    holes[20:30] = np.nan
    kept = np.delete(np.arange(200), np.s_[20:30])
    assert lip_dynamics(holes) == pytest.approx(lip_dynamics(faces(GAP[kept])))
    assert np.isnan(lip_dynamics(np.full((5, 478, 3), np.nan)))


def test_volume_is_the_loudness_at_the_frame() -> None:
    time = np.arange(32000) / 16000
    samples = (np.where(time < 1.0, 0.1, 0.4) * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    loud = volume(Waveform(samples, 16000), 50)
    np.testing.assert_allclose(loud[[5, 20, 30, 45]], np.array([0.1, 0.1, 0.4, 0.4]) / np.sqrt(2), rtol=0.02)
    np.testing.assert_allclose(volume(Waveform(samples, 16000), 10, first=20), loud[20:30])


def test_score() -> None:
    assert score(0.5, 0.5) == 1.0 and score(0.0, 0.5) == 0.0 and score(1.5, 0.5) == -1.0
    assert np.isnan(score(0.3, 0.0))
