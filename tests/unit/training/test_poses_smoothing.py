"""The smoothing of pose corrections against a dense solve, and the pose solve on a known displacement."""

from __future__ import annotations

import numpy as np
import torch

from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.render.api import get_rasterizer
from gaussavatar.training.poses import (
    ACCELERATION,
    _flow,
    _moved,
    _Scene,
    _spread,
    skipped_frames,
    smooth_corrections,
    solve_poses,
)
from gaussavatar.types import Activated, Cameras


def test_smoothing_solves_the_normal_equations() -> None:
    random = np.random.default_rng(0)
    count = 9
    corrections = random.normal(0, 0.01, (count, 6))
    half = random.normal(0, 100, (count, 6, 6))
    information = half @ half.transpose(0, 2, 1) + 1e4 * np.eye(6)
    second = np.zeros((count - 2, count))
    for row in range(count - 2):
        second[row, row : row + 3] = 1, -2, 1
    dense = np.kron(second.T @ second, np.diag(np.array(ACCELERATION) ** -2))
    right = np.zeros(count * 6)
    for index in range(count):
        part = slice(6 * index, 6 * index + 6)
        dense[part, part] += information[index]
        right[part] = information[index] @ corrections[index]
    expected = np.linalg.solve(dense, right).reshape(count, 6)
    np.testing.assert_allclose(smooth_corrections(corrections, information), expected, rtol=1e-6, atol=1e-12)


def test_smoothing_takes_out_noise_but_keeps_a_slow_drift() -> None:
    random = np.random.default_rng(1)
    time = np.linspace(0, 1, 200)
    drift = np.sin(2 * np.pi * time)[:, None] * np.array([0.02, 0.02, 0.02, 2e-3, 2e-3, 5e-3])
    information = np.tile(np.diag(np.array(ACCELERATION) ** -2.0), (200, 1, 1))
    noisy = drift + random.normal(0, 1, drift.shape) * np.array(ACCELERATION)
    smooth = smooth_corrections(noisy, information)
    assert np.abs(smooth - drift).mean() < 0.8 * np.abs(noisy - drift).mean()
    assert np.abs(smooth - drift).max() < 0.2 * np.abs(drift).max() + 3 * max(ACCELERATION)


def test_frames_between_follow_from_those_that_were_looked_at() -> None:
    time = np.linspace(0, 1, 100)
    drift = np.sin(2 * np.pi * time)[:, None] * np.array([0.02, 0.02, 0.02, 2e-3, 2e-3, 5e-3])
    solved = _spread(100, 4)
    assert solved[0] == 0 and solved[-1] == 99 and (np.diff(solved) <= 4).all() and len(solved) == 26
    corrections, information = np.zeros((100, 6)), np.zeros((100, 6, 6))
    corrections[solved] = drift[solved]
    information[solved] = np.diag(np.array(ACCELERATION) ** -2.0) * 100
    assert np.abs(smooth_corrections(corrections, information) - drift).max() < 0.01 * np.abs(drift).max()
    np.testing.assert_array_equal(_spread(5, 1), np.arange(5))
    frames = [(0, 1), (4500, 1), (4501, 1), (15_000, 1), (15_000, 6), (10, 3)]
    assert [skipped_frames(*each) for each in frames] == [1, 1, 2, 4, 6, 3]
    assert list(_spread(1, 3)) == [0] and len(_spread(0, 3)) == 0 and list(_spread(3, 9)) == [0, 2]


def test_a_displaced_head_is_found_again() -> None:
    generator = torch.Generator().manual_seed(3)
    direction = torch.nn.functional.normalize(torch.randn(1500, 3, generator=generator), dim=-1)
    means = direction * torch.tensor([0.07, 0.1, 0.08])
    colors = 0.5 + 0.4 * torch.sin(means * 120)
    face = Activated(
        means[None],
        torch.nn.functional.normalize(torch.randn(1, 1500, 4, generator=generator), dim=-1),
        torch.full((1, 1500, 3), 4e-3),
        torch.full((1, 1500), 0.9),
        colors[None],
    )
    mouth = Activated(*(tensor[:, :1] for tensor in (face.means, face.quats, face.scales, face.opacities, face.colors)))
    K = torch.tensor([[[150.0, 0, 48], [0, 150.0, 48], [0, 0, 1]]])
    true_pose = torch.eye(4)[None].clone()
    true_pose[:, 2, 3] = 0.6
    rasterizer = get_rasterizer("cpu")
    under = torch.full((1, 96, 96, 3), 0.8)
    rendered = rasterizer(face, Cameras(true_pose, K, 96, 96))
    frames = rendered.rgb + (1 - rendered.alpha)[..., None] * under
    scene = _Scene(face, mouth, frames, under, torch.ones(1, 96, 96), K)
    wrong = torch.tensor([[0.008, -0.01, 0.005, 4e-4, -5e-4, 2e-3]], dtype=torch.float64)
    start = _moved(true_pose.double(), wrong)
    correction, information = solve_poses(scene, start, rasterizer, 4)
    found = _moved(start, torch.from_numpy(correction))
    angle = torch.linalg.matrix_norm(found[:, :3, :3] - true_pose[:, :3, :3].double())
    assert float(angle) < 0.2 * float(torch.linalg.matrix_norm(start[:, :3, :3] - true_pose[:, :3, :3].double()))
    assert abs(float(found[0, 0, 3])) < 1e-4
    assert np.linalg.eigvalsh(information[0]).min() > 0


def test_the_flow_is_how_points_move_on_the_screen() -> None:
    point, eye = torch.tensor([[[0.03, -0.05, -0.04]]]), torch.tensor([[[1.0, 0, 0, 0]]])
    face = Activated(point, eye, torch.full((1, 1, 3), 2e-2), torch.ones(1, 1), torch.zeros(1, 1, 3))
    blank = torch.zeros(1, 80, 96, 3)
    K = torch.tensor([[[150.0, 0, 50], [0, 140.0, 38], [0, 0, 1]]])
    scene = _Scene(face, face, blank, blank, torch.ones(1, 80, 96), K)
    T = torch.eye(4, dtype=torch.float64)[None].clone()
    T[:, :3, :3] = rotation_matrices(torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64))
    T[:, :3, 3] = torch.tensor([0.01, 0.02, 0.6])

    def seen(T_camera_head: torch.Tensor) -> torch.Tensor:
        place = K[0].double() @ (T_camera_head[0, :3, :3] @ point[0, 0].double() + T_camera_head[0, :3, 3])
        return place[:2] / place[2]

    here = seen(T)
    column, row = here.floor().long().tolist()
    flow = _flow(scene, T.float(), get_rasterizer("cpu"))[:, 0, :, row, column].double()
    for number in range(6):
        step = torch.zeros(1, 6, dtype=torch.float64)
        step[0, number] = 1e-5
        truth = (seen(_moved(T, step)) - here) / 1e-5
        # The pixel is half a pixel off at most, and the drawn depth a little behind: full cover does not exist.
        assert (flow[:, number] - truth).norm() < 0.06 * truth.norm() + 1.5
