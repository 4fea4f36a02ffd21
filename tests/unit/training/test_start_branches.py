"""Where the Gaussians start: counts, places, colours and the carried motion."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.training.start.branches import (
    FADE,
    LIPS_INNER,
    initial_mouth,
    landmark_triangles,
    sample_surface,
    spread_motion,
)


@pytest.fixture(scope="module")
def shape() -> np.ndarray:
    random = np.random.default_rng(0)
    xy = random.uniform(-1, 1, (478, 2))
    xy *= np.minimum(1, 0.95 / np.linalg.norm(xy, axis=1, keepdims=True))
    angle = np.linspace(0, 2 * np.pi, len(LIPS_INNER), endpoint=False)
    xy[list(LIPS_INNER)] = np.array([0, 0.45]) + np.array([0.22, 0.05]) * np.column_stack(
        [np.cos(angle), np.sin(angle)]
    )
    depth = -0.06 * np.sqrt(1 - (xy**2).sum(axis=1).clip(0, 0.99))
    return np.column_stack([xy * [0.07, 0.09], depth])


def test_no_triangle_closes_the_mouth(shape: np.ndarray) -> None:
    assert not np.isin(landmark_triangles(shape), LIPS_INNER).all(axis=1).any()


def test_samples_lie_within_the_landmarks_and_are_denser_on_the_lips(shape: np.ndarray) -> None:
    points, spacing = sample_surface(shape, 4000, np.random.default_rng(1))
    assert points.shape == (4000, 3)
    assert (points >= shape.min(axis=0) - 1e-9).all() and (points <= shape.max(axis=0) + 1e-9).all()
    assert spacing.min() < 0.7 * spacing.max()


def test_motion_is_carried_and_fades(shape: np.ndarray) -> None:
    basis = np.ones((1, 478, 3))
    at_landmarks = spread_motion(shape, shape, basis)
    np.testing.assert_allclose(at_landmarks, 1.0, atol=1e-3)
    far = shape.max(axis=0)[None] + 2 * FADE
    np.testing.assert_allclose(spread_motion(far, shape, basis), 0.0)


def test_branches_have_the_counts_asked_for_and_lower_teeth_follow_the_lip() -> None:

    from gaussavatar.types import FaceMotion, Tracking

    random = np.random.default_rng(3)
    points = random.uniform(-0.06, 0.06, (478, 3)).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, len(LIPS_INNER), endpoint=False)
    lips = np.column_stack([0.02 * np.cos(angle), 0.03 + 0.004 * np.sin(angle), np.full(len(angle), -0.06)])
    points[list(LIPS_INNER)] = lips
    zeros = np.zeros((3, 478, 3), np.float32)
    tracking = Tracking(
        np.eye(3, dtype=np.float32)[None], np.array([[0, 0, 0.5]], np.float32), np.eye(3, dtype=np.float32), 64,
        points, zeros[:1], np.zeros((1, 1), np.float32), np.ones(1, bool), np.zeros(1, np.float32),
    )  # fmt: skip
    basis = zeros[:2].copy()
    basis[0, 14] = [0, 0.01, 0]
    one = np.zeros(1, np.float32)
    motion = FaceMotion(
        np.zeros((1, 2), np.float32), basis, np.zeros((1, 3), np.float32), zeros, ("a", "b", "c"), one, one
    )
    start = initial_mouth(tracking, motion, 300, seed=0)
    assert start.raw.means.shape == (300, 3) and start.n_moving == 300
    moved = start.position[0, :, 1].numpy() != 0
    assert 0.2 < moved.mean() < 0.9
    y = start.raw.means[:, 1].numpy()
    assert y[moved].min() > y[~moved].max() - 1e-6
