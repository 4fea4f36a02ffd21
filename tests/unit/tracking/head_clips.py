"""A clip of the built-in head with everything known: landmarks of its posed mesh, and the exact tracking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.embedding import camera_yaw
from gaussavatar.head.model import HeadModel, landmark_points, pose_vertices
from gaussavatar.tracking.head.expression import build_rig
from gaussavatar.tracking.poses.procrustes import head_axes
from gaussavatar.tracking.poses.rotations import exp_rotation
from gaussavatar.types import Landmarks, Tracking

SIZE, FOCAL = 512, 900.0
IDENTITY = {"gender": 0.4, "nose-scale-depth": 0.5, "mouth-scale-horiz": 0.4, "chin-width": -0.4, "head-fat": 0.5}


@cache
def plain_head() -> HeadModel:
    """The built-in head without the table of its outline, so that every landmark has one place."""
    head = builtin_head()
    assert head.embedding is not None
    return replace(head, embedding=head.embedding.seen_from(0.0))


@dataclass(frozen=True)
class HeadClip:
    """The truth: weights, the eyes' turns, and where the model lies (``scale * R @ x + t``); landmarks and tracking."""

    expression: np.ndarray
    eyes: np.ndarray
    landmarks: Landmarks
    tracking: Tracking
    scale: float
    R: np.ndarray
    t: np.ndarray
    rest: np.ndarray


def make_head_clip(n: int = 120, noise_px: float = 0.1, *, turn_deg: float = 10.0) -> HeadClip:
    """A made-up person speaks, blinks, looks about and turns the head."""
    model = plain_head()
    time = np.arange(n) / 25
    expression = np.zeros((n, len(model.expression_names)), np.float32)

    def play(name: str, values: np.ndarray) -> None:
        expression[:, model.expression_names.index(name)] += values

    jaw = np.clip(np.sin(2 * np.pi * 2.3 * time), 0, None) * 0.35
    play("jawOpen", jaw)
    for side in ("Left", "Right"):
        play(f"mouthSmile{side}", 0.3 * np.clip(np.sin(2 * np.pi * 0.4 * time), 0, None))
        play(f"browOuterUp{side}", 0.5 * np.clip(np.sin(2 * np.pi * 0.3 * time + 2), 0, None))
        for start in range(15, n - 6, 37):
            play(
                f"eyeBlink{side}",
                np.isin(np.arange(n) - start, (0, 4)) * 0.5 + np.isin(np.arange(n) - start, (1, 2, 3)),
            )
    play("mouthPucker", 0.6 * np.clip(np.sin(2 * np.pi * 0.7 * time + 1), 0, None) * (jaw == 0))
    eyes = np.stack([0.06 * np.sin(2 * np.pi * 0.5 * time), 0.18 * np.sin(2 * np.pi * 0.35 * time), 0 * time], 1)
    rotations = np.zeros((n, len(model.joint_names), 3), np.float32)
    rotations[:, [model.joint_names.index("eye_left"), model.joint_names.index("eye_right")]] = eyes[:, None]
    identity = torch.tensor(model.identity_row(**IDENTITY))[None]
    vertices = pose_vertices(model, identity, torch.from_numpy(expression), torch.from_numpy(rotations))
    assert model.embedding is not None
    points = landmark_points(vertices, model.triangles, model.embedding).numpy().astype(np.float64)
    rest_vertices = pose_vertices(model, identity, torch.zeros(1, expression.shape[1]))
    rest = landmark_points(rest_vertices, model.triangles, model.embedding)[0].numpy().astype(np.float64)
    origin, axes = head_axes(rest)
    scale = 0.063 / np.linalg.norm(rest[473] - rest[468])
    points, rest = (scale * (part - origin) @ axes.T for part in (points, rest))
    turns = np.deg2rad(turn_deg) * np.stack(
        [0.4 * np.sin(2 * np.pi * 0.23 * time), np.sin(2 * np.pi * 0.19 * time), 0.3 * np.sin(time)], 1
    )
    R, t = exp_rotation(turns), np.stack([0.01 * np.sin(time), 0.008 * np.cos(time), 0.6 + 0 * time], 1)
    camera = points @ R.swapaxes(1, 2) + t[:, None]
    pixels = FOCAL * camera[..., :2] / camera[..., 2:] + SIZE / 2
    pixels = pixels + np.random.default_rng(1).normal(0, noise_px, pixels.shape)
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]], np.float32)
    moved = (points - rest).reshape(n, -1)
    _, _, basis = np.linalg.svd(moved, full_matrices=False)
    basis = basis[:20]
    tracking = Tracking(
        R.astype(np.float32), t.astype(np.float32), K, SIZE, rest.astype(np.float32),
        basis.reshape(-1, 478, 3).astype(np.float32), (moved @ basis.T).astype(np.float32),
        np.ones(n, bool), np.zeros(n, np.float32),
    )  # fmt: skip
    depth = (camera[..., 2:] - t[:, None, 2:]) * FOCAL / 0.6
    landmarks = Landmarks(np.concatenate([pixels, depth], -1).astype(np.float32), np.ones(n, bool), SIZE)
    return HeadClip(expression, eyes, landmarks, tracking, float(scale), axes, -scale * axes @ origin, rest)


def outline_of(model: HeadModel, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Landmarks (n, 478, 3) of a model's template as seen from each pose, the sliding outline included."""
    rig = build_rig(model, np.arange(468), hinged=False)
    n = len(R)
    points = np.zeros((n, 478, 3))
    points[:, rig.landmarks] = rig.points(np.zeros((n, len(rig.basis))), np.zeros((n, 3)), rig.slide(camera_yaw(R, t)))
    return points
