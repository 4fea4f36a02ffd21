"""A made-up face with known shape, motion and pose, projected to landmarks: the ground truth of the tracking tests."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gaussavatar.landmarks import indices
from gaussavatar.tracking.poses.procrustes import head_axes
from gaussavatar.tracking.poses.rotations import exp_rotation
from gaussavatar.types import Landmarks

SIZE = 512
FOCAL = 1.2 * SIZE
PLACES = {
    10: (0, -78), 151: (0, -63), 9: (0, -46), 8: (0, -37), 168: (0, -30), 6: (0, -23), 197: (0, -17), 195: (0, -11),
    5: (0, -4), 4: (0, 4), 33: (-44, -24), 263: (44, -24), 133: (-17, -24), 362: (17, -24), 234: (-71, 0),
    454: (71, 0), 152: (0, 78), 13: (0, 38), 14: (0, 40), 312: (6, 38), 317: (6, 40), 82: (-6, 38), 87: (-6, 40),
    61: (-25, 40), 291: (25, 40), 159: (-30, -29), 158: (-27, -29), 160: (-34, -29), 145: (-30, -19), 153: (-27, -19),
    144: (-34, -19), 386: (30, -29), 385: (27, -29), 387: (34, -29), 374: (30, -19), 380: (27, -19), 373: (34, -19),
    468: (-31.5, -24), 473: (31.5, -24),
}  # fmt: skip
"""Where named landmarks lie on the made-up face, millimetres in head space (x, y)."""

MOUTH_POINTS = (*indices.LIPS_INNER, *indices.LIPS_OUTER)
LOWER_LIP = (14, 317, 87, 95, 88, 178, 402, 318, 324, 146, 91, 181, 84, 17, 314, 405, 321, 375)


def made_up_shape(seed: int = 3) -> np.ndarray:
    """478 points on an egg, metres, in head space as the tracker defines it."""
    rng = np.random.default_rng(seed)
    places = rng.uniform([-66, -72], [66, 72], (478, 2))
    for index in MOUTH_POINTS:
        places[index] = rng.uniform([-22, 34], [22, 44])
    for lower, upper in ((indices.RIGHT_BROW, -1), (indices.LEFT_BROW, 1)):
        for index in lower:
            places[index] = rng.uniform([18, -44], [46, -38]) * [upper, 1]
    for index, place in PLACES.items():
        places[index] = place
    # The lower face below the mouth's top belongs to the mouth, so rigid points stay off it.
    rigid = [index for index in indices.RIGID if index not in PLACES]
    places[rigid, 1] = -np.abs(places[rigid, 1])
    places[468:473] = np.add(PLACES[468], rng.normal(0, 3, (5, 2)) * [[0], [1], [1], [1], [1]])
    places[473:478] = np.add(PLACES[473], rng.normal(0, 3, (5, 2)) * [[0], [1], [1], [1], [1]])
    depth = -100 * np.sqrt(np.clip(1 - (places[:, 0] / 72) ** 2 - (places[:, 1] / 105) ** 2, 0, 1))
    shape = np.column_stack([places, depth]) * 1e-3
    origin, axes = head_axes(shape)
    shape = (shape - origin) @ axes.T
    return shape * 0.063 / np.linalg.norm(shape[473] - shape[468])


@dataclass(frozen=True)
class MadeUpClip:
    """Ground truth: head-space points of every frame, poses, and the signals that moved the face."""

    points: np.ndarray
    R: np.ndarray
    t: np.ndarray
    mouth: np.ndarray
    blink: np.ndarray
    brow: np.ndarray
    shape: np.ndarray

    def landmarks(self, noise_px: float = 0.3, seed: int = 0, size: int = SIZE) -> Landmarks:
        """Project with the known camera; depth as MediaPipe gives it, relative and in pixels."""
        camera = self.points @ self.R.swapaxes(1, 2) + self.t[:, None]
        scale = size / SIZE
        pixels = FOCAL * scale * camera[..., :2] / camera[..., 2:] + size / 2
        depth = (camera[..., 2] - self.t[:, None, 2]) * FOCAL * scale / (self.t[:, None, 2] - 0.06)
        points = np.concatenate([pixels, depth[..., None]], -1)
        points = points + np.random.default_rng(seed).normal(0, noise_px * scale, points.shape)
        return Landmarks(points.astype(np.float32), np.ones(len(points), bool), size)


def make_clip(n: int = 150, *, mouth_mm: float = 12.0, blinks: bool = True, seed: int = 0) -> MadeUpClip:
    """A head that turns slowly while the mouth moves fast and the eyes blink."""
    rng = np.random.default_rng(seed)
    time = np.arange(n) / 25
    shape = made_up_shape()
    phases = rng.uniform(0, 6, 6)
    turn = np.deg2rad([5.0, 10.0, 4.0]) * np.sin(2 * np.pi * np.outer(time, [0.21, 0.17, 0.13]) + phases[:3])
    shift = np.array([0.015, 0.01, 0.02]) * np.sin(2 * np.pi * np.outer(time, [0.11, 0.19, 0.15]) + phases[3:])
    mouth = np.clip(np.sin(2 * np.pi * 3.1 * time) + 0.5 * np.sin(2 * np.pi * 4.7 * time + 1), 0, None)
    smile = 0.5 * np.sin(2 * np.pi * 0.37 * time)
    blink, brow = np.zeros(n), np.clip(np.sin(2 * np.pi * 0.25 * time), 0, None)
    if blinks:
        for start in range(20, n - 6, 45):
            blink[start : start + 5] = [0.5, 1.0, 1.0, 0.6, 0.25]
    moved = np.tile(shape, (n, 1, 1))
    lower = np.clip((shape[:, 1] - 0.039) / 0.02, 0, 1)
    lower[list(LOWER_LIP)] = 1.0
    lower[[*indices.RIGID, *indices.LIPS_INNER[11:], 13, 312, 82]] = 0.0
    moved[..., 1] += mouth[:, None] * mouth_mm * 1e-3 * lower
    corner = np.exp(-((shape[:, 1] - 0.04) ** 2 + (np.abs(shape[:, 0]) - 0.025) ** 2) / 0.012**2)
    moved[..., 0] += smile[:, None] * 0.006 * corner * np.sign(shape[:, 0])
    for upper, low in (*indices.RIGHT_LID_PAIRS, *indices.LEFT_LID_PAIRS):
        moved[:, upper, 1] += 0.92 * blink * (shape[low, 1] - shape[upper, 1])
    brows = [*indices.RIGHT_BROW, *indices.LEFT_BROW]
    moved[:, brows, 1] -= brow[:, None] * 0.006
    return MadeUpClip(moved, exp_rotation(turn), shift + [0, 0, 0.5], mouth, blink, brow, shape)


@pytest.fixture(scope="session")
def clip() -> MadeUpClip:
    """The standard made-up clip."""
    return make_clip()


def with_invalid(landmarks: Landmarks, frames: slice) -> Landmarks:
    """The landmarks with a stretch of frames where no face was found."""
    points, valid = landmarks.points.copy(), landmarks.valid.copy()
    points[frames], valid[frames] = 0, False
    return replace(landmarks, points=points, valid=valid)
