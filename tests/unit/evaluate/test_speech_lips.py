"""Lips against lips: curves whose likeness, lag and size are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaussavatar.evaluate.metrics import LIPS
from gaussavatar.evaluate.speech_lips import best_lag, code_lip_distance, jitter, lip_figures, shifted_correlation
from gaussavatar.types import FaceMotion, Tracking


def lips(n: int = 400, seed: int = 0) -> np.ndarray:
    """An opening that moves like speech: noise below 5 Hz."""
    noise = np.random.default_rng(seed).normal(size=n + 8)
    return np.convolve(noise, np.hanning(9) / 4, "valid") + 0.5


def test_a_perfect_copy_scores_one_and_lags_by_nothing() -> None:
    real, wide = lips(), lips(seed=1)
    figures = lip_figures(real, real, wide, wide)
    for name in ("aperture_r", "width_r", "lag_r", "aperture_std_ratio", "width_std_ratio", "jitter_ratio"):
        assert figures[name] == pytest.approx(1.0), name
    assert figures["lag_frames"] == pytest.approx(0.0, abs=1e-6) and figures["drop"] > 0.7


@settings(deadline=None)
@given(st.integers(-9, 9))
def test_lips_that_come_k_frames_later_lag_by_k(k: int) -> None:
    whole = lips(420)
    real, shifted = whole[10:410], whole[10 - k : 410 - k]
    lag, r = best_lag(shifted, real)
    assert lag == pytest.approx(k, abs=0.02) and r > 0.999
    assert shifted_correlation(shifted, real, k) == pytest.approx(1.0)
    figures = lip_figures(shifted, real, shifted, real)
    assert figures["lag_ms"] == pytest.approx(40 * k, abs=1)


def test_half_a_frame_is_found_between_frames() -> None:
    fine = np.interp(np.arange(0, 400, 0.5), np.arange(400), lips())
    lag, _ = best_lag(fine[100:700:2], fine[101:701:2])
    assert lag == pytest.approx(0.5, abs=0.1)


def test_a_still_mouth_correlates_with_nothing() -> None:
    real, still = lips(), np.full(400, 0.3)
    figures = lip_figures(still, real, still, real)
    assert figures["aperture_r"] == figures["width_r"] == 0.0 and np.isnan(figures["lag_ms"])
    assert figures["aperture_std_ratio"] == pytest.approx(0.0) and figures["jitter_ratio"] == pytest.approx(0.0)


def test_half_the_movement_keeps_the_correlation_and_halves_amplitude_and_jitter() -> None:
    real = lips()
    figures = lip_figures(0.5 * real, real, real, real)
    assert figures["aperture_r"] == pytest.approx(1.0)
    assert figures["aperture_std_ratio"] == pytest.approx(0.5) and figures["jitter_ratio"] == pytest.approx(0.5)


def test_frames_without_a_face_do_not_count() -> None:
    real = lips()
    holes = real.copy()
    holes[50:60] = np.nan
    assert lip_figures(holes, real, holes, real)["aperture_r"] == pytest.approx(1.0)
    assert jitter(np.array([0.0, 1.0, 0.0, np.nan])) == pytest.approx(2.0)
    assert np.isnan(jitter(np.full(5, np.nan)))


def test_distance_from_codes_is_in_pixels_of_512_and_blind_to_where_the_mouth_is() -> None:
    basis = np.zeros((2, 478, 3), np.float32)
    half = list(LIPS)[: len(LIPS) // 2]
    basis[0, half, 1] = 0.002  # Half of the points move down by 2 mm, so each is 1 mm from where the mean has gone.
    basis[1, list(LIPS), 1] = 0.005  # All together: no shape.
    nothing = np.zeros(3, np.float32)
    none = np.zeros((3, 0), np.float32)
    motion = FaceMotion(
        np.zeros((3, 2), np.float32), basis, none, np.zeros((0, 478, 3), np.float32), (), nothing, nothing
    )
    camera = SimpleNamespace(K=np.diag([256.0, 256.0, 1.0]), size=256, t_camera_head=np.full((3, 3), 0.5))
    tracking = object.__new__(Tracking)
    for name, value in vars(camera).items():
        object.__setattr__(tracking, name, value)
    far = code_lip_distance(np.array([[1.0, 4.0]] * 3), np.zeros((3, 2)), motion, tracking)
    np.testing.assert_allclose(far, 0.001 * 512 / 0.5, rtol=1e-5)
