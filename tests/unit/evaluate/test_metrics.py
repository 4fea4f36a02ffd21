"""The figures: known values, invariances, and what they must notice."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.evaluate.metrics import FaceSeries, compare_faces, jitter, lip_distance, psnr


def test_psnr_of_a_known_error_and_in_a_region() -> None:
    real = np.zeros((8, 8, 3), np.uint8)
    rendered = real.copy()
    rendered[:4] = 51
    region = np.zeros((8, 8), bool)
    region[:4] = True
    assert psnr(rendered, real, region) == pytest.approx(-20 * np.log10(0.2), abs=1e-4)
    assert psnr(rendered, real) == pytest.approx(psnr(rendered, real, region) + 10 * np.log10(2), abs=1e-4)
    assert psnr(rendered, real, ~region) >= 99
    assert np.isnan(psnr(rendered, real, np.zeros((8, 8), bool)))


def series(random: np.random.Generator, count: int = 60) -> FaceSeries:
    points = random.normal(0, 1, (1, 478, 3)).repeat(count, axis=0).astype(np.float32) * 100
    signals = random.normal(0, 1, (3, count)).cumsum(axis=1)
    return FaceSeries(points, *signals)


def test_lip_distance_ignores_a_shift_of_the_whole_mouth() -> None:
    points = series(np.random.default_rng(0)).points
    assert lip_distance(points + 7, points).max() < 1e-4
    moved = points.copy()
    moved[:, 14, 1] += 40
    assert lip_distance(moved, points).min() > 0.9


def test_compare_faces_of_the_same_and_of_delayed_lips() -> None:
    real = series(np.random.default_rng(1))
    same = compare_faces(real, real)
    assert same["lmd"] == 0 and same["lip_r"] == pytest.approx(1) and same["aperture_std_ratio"] == pytest.approx(1)
    late = FaceSeries(real.points, np.roll(real.aperture, 8), real.width, 0.5 * real.eyes)
    assert compare_faces(late, real)["lip_r"] < 0.99
    assert compare_faces(late, real)["blink_r"] == pytest.approx(1)


def test_jitter_sees_shaking_but_not_a_steady_pan() -> None:
    points = np.zeros((50, 478, 3), np.float32)
    points[:, :, 0] = np.arange(50)[:, None]
    assert jitter(points) == pytest.approx(0)
    points[::2, :, 1] += 1
    assert jitter(points) == pytest.approx(2)
