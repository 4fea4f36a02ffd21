"""Poses from the skin: the native sums against their twins, and a textured head whose motion is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.mesh.zbuffer import interpolate, rasterize_mesh
from gaussavatar.native.skin import normal_equations_twin, template_sums_twin
from gaussavatar.progress import QuietProgress
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.tracking.poses.photometric import PhotometricConfig, align_to_skin, with_known_focal
from gaussavatar.tracking.poses.rotations import exp_rotation, log_rotation
from gaussavatar.tracking.poses.skin_images import without_light
from gaussavatar.tracking.poses.skin_sums import SkinView, normal_equations, template_sums
from gaussavatar.tracking.poses.skull_skin import skull_skin
from gaussavatar.types import Tracking

SIZE, FOCAL, COUNT = 256, 500.0, 60


@pytest.fixture(scope="module")
def view() -> SkinView:
    """Three noisy pictures and a patch of surface before them, partly turned away and partly outside."""
    rng = np.random.default_rng(1)
    skin = skull_skin(builtin_head(), 0.012)
    R = exp_rotation(rng.normal(0, 0.4, (3, 3)))
    t = np.array([[0.0, 0.0, 0.5], [0.05, 0.0, 0.6], [-0.07, 0.03, 0.55]])
    poses = np.concatenate([R.reshape(3, 9), t], 1).astype(np.float32)
    cameras = np.array([[150.0, 40, 35], [160, 42, 37], [150, 45, 30]], np.float32)
    images = rng.integers(0, 255, (3, 70, 80)).astype(np.uint8)
    return SkinView(images, poses, cameras, skin.packed())


@pytest.mark.parametrize("known", [False, True])
def test_template_sums_match_numpy(view: SkinView, known: bool) -> None:
    reference = np.random.default_rng(2).uniform(50, 200, len(view.surface)).astype(np.float32) if known else None
    sums, values, visible = template_sums(view, reference, 20.0, samples=True)
    expected, true_values, true_visible = template_sums_twin(view, reference, 20.0, True)
    assert (expected[:, 0] > 0).any() and (expected[:, 0] == 0).any()
    np.testing.assert_allclose(sums, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max(0).min())
    assert values is not None and visible is not None
    np.testing.assert_allclose(values, true_values, atol=1e-2)
    np.testing.assert_allclose(visible, true_visible, atol=1e-4)
    np.testing.assert_allclose(visible.sum(0), sums[:, 0], rtol=1e-5, atol=1e-6)


def test_normal_equations_match_numpy(view: SkinView) -> None:
    rng = np.random.default_rng(3)
    n = len(view.surface)
    look = np.stack([rng.uniform(50, 200, n), *rng.normal(0, 5e3, (2, n)), rng.uniform(0, 2, n)], 1).astype(np.float32)
    look[::7, 3] = 0
    H, g = normal_equations(view, look, 25.0)
    H_expected, g_expected = normal_equations_twin(view, look, 25.0)
    np.testing.assert_allclose(H, H_expected, rtol=1e-3, atol=1e-4 * np.abs(H_expected).max())
    np.testing.assert_allclose(g, g_expected, rtol=1e-3, atol=1e-4 * np.abs(g_expected).max())


def test_the_step_goes_downhill_as_finite_differences_say() -> None:
    """The right side is minus half the slope of the squared residual against a smooth picture."""
    skin = skull_skin(builtin_head(), 0.012)
    rows, columns = np.mgrid[:90, :90]
    image = (128 + 50 * np.sin(columns / 9) * np.cos(rows / 11)).round().astype(np.uint8)
    pose = np.concatenate([np.eye(3).reshape(9), [0.0, 0.01, 0.6]])
    camera = np.array([[300.0, 45, 45]], np.float32)

    def at(vector: np.ndarray) -> SkinView:
        R = exp_rotation(vector[None, :3])[0] @ pose[:9].reshape(3, 3)
        moved = np.concatenate([R.reshape(9), pose[9:] + vector[3:]])[None].astype(np.float32)
        return SkinView(image[None], moved, camera, skin.packed())

    sums, values, visible = template_sums(at(np.zeros(6)), None, 1.0, samples=True)
    assert values is not None and visible is not None
    weight = (visible[0] > 0).astype(np.float32) / np.maximum(visible[0], 1e-6)
    total = np.maximum(sums[:, 0], 1e-9)
    offset = np.random.default_rng(4).normal(0, 4, len(skin.points))
    look = np.stack([values[0] + offset, sums[:, 3] / total, sums[:, 4] / total, weight], 1).astype(np.float32)
    _, g = normal_equations(at(np.zeros(6)), look, 1e6)

    def cost(vector: np.ndarray) -> float:
        _, now, _ = template_sums(at(vector), None, 1.0, samples=True)
        assert now is not None
        return float((((now[0] - look[:, 0]) ** 2)[visible[0] > 0]).sum())

    for axis, size in enumerate([2e-3] * 3 + [5e-4] * 3):
        probe = np.zeros(6)
        probe[axis] = size
        slope = (cost(probe) - cost(-probe)) / (2 * size)
        assert -2 * g[0, axis] == pytest.approx(slope, rel=0.1, abs=0.03 * np.abs(2 * g[0]).max())


def test_light_that_changes_slowly_over_the_face_is_taken_out() -> None:
    rng = np.random.default_rng(5)
    texture = rng.normal(0, 12, (80, 80))
    ramp = np.linspace(-40, 40, 80)
    plain = np.clip(120 + texture, 0, 255).astype(np.uint8)
    lit = np.clip(120 + texture + ramp, 0, 255).astype(np.uint8)
    before = np.abs(plain.astype(float) - lit).mean()
    after = np.abs(without_light(plain, 1.0)[1].astype(float) - without_light(lit, 1.0)[1])[8:-8, 8:-8]
    assert before > 15 and after.mean() < 2


def textured_clip(folder: Path) -> tuple[FrameStore, Tracking]:
    """The built-in head with a speckled skin, turning and nodding quickly; landmark poses that wobble and lag."""
    head = builtin_head()
    rng = np.random.default_rng(6)
    time = np.arange(COUNT) / 25
    turns = np.deg2rad([5.0, 12.0, 3.0]) * np.sin(2 * np.pi * np.outer(time, [1.1, 0.4, 0.6]) + [0, 1, 2])
    R, t = exp_rotation(turns), np.array([0.0, 0.0, 0.75]) + 0.01 * np.sin(2 * np.pi * np.outer(time, [0.5, 0.3, 0.2]))
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]], np.float32)
    speckles = rng.uniform(60, 220, (len(head.template), 1)).astype(np.float32)
    with frame_writer(folder / "frames.u8", (SIZE, SIZE, 3)) as out:
        for index in range(COUNT):
            vertices = (head.template @ R[index].T + t[index]).astype(np.float32)
            raster = rasterize_mesh(vertices, head.triangles, K, SIZE, SIZE)
            grey = interpolate(raster, head.triangles, speckles)[..., 0] * (1 + 0.2 * np.sin(0.2 * index))
            noisy = np.where(raster.triangle_index >= 0, grey, 90) + rng.normal(0, 3, (SIZE, SIZE))
            out.append(np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, 2))
    wobble = exp_rotation(np.deg2rad(rng.normal(0, 0.5, (COUNT, 3))) - 0.15 * turns)
    tracking = Tracking(
        R_camera_head=(wobble @ R).astype(np.float32),
        t_camera_head=(t + rng.normal(0, 5e-4, (COUNT, 3))).astype(np.float32),
        K=K,
        size=SIZE,
        shape=np.zeros((478, 3), np.float32),
        basis=np.zeros((0, 478, 3), np.float32),
        codes=np.zeros((COUNT, 0), np.float32),
        valid=np.ones(COUNT, bool),
        rms=np.zeros(COUNT, np.float32),
    )
    np.save(folder / "R.npy", R)
    return FrameStore(folder / "frames.u8"), tracking


def rotation_error(R: np.ndarray, R_true: np.ndarray) -> tuple[float, float]:
    """Mean error and mean frame-to-frame error in degrees, without the constant offset."""
    error = log_rotation(R @ R_true.swapaxes(1, 2))
    error = np.rad2deg(error - np.median(error, axis=0))
    return float(np.linalg.norm(error, axis=1).mean()), float(np.linalg.norm(np.diff(error, axis=0), axis=1).mean())


def test_wobbling_and_lagging_poses_are_set_right(tmp_path: Path) -> None:
    frames, tracking = textured_clip(tmp_path)
    R_true = np.load(tmp_path / "R.npy", allow_pickle=False)
    config = with_known_focal(PhotometricConfig())
    aligned = align_to_skin(frames, tracking, builtin_head(), config, tmp_path / "skin.u8", QuietProgress())
    before = rotation_error(tracking.R_camera_head, R_true)
    after = rotation_error(aligned.R_camera_head, R_true)
    assert before[0] > 0.9 and before[1] > 1.0
    assert after[0] < 0.15 and after[1] < 0.1
    cautious = align_to_skin(
        frames, tracking, builtin_head(), PhotometricConfig(), tmp_path / "skin.u8", QuietProgress()
    )
    assert after[0] < rotation_error(cautious.R_camera_head, R_true)[0] < before[0]
    again = align_to_skin(frames, tracking, builtin_head(), config, tmp_path / "skin.u8", QuietProgress())
    np.testing.assert_array_equal(again.R_camera_head, aligned.R_camera_head)


def test_without_a_skin_to_follow_the_landmarks_poses_stay(tmp_path: Path) -> None:
    _, tracking = textured_clip(tmp_path)
    with frame_writer(tmp_path / "grey.u8", (SIZE, SIZE, 3)) as out:
        for _ in range(COUNT):
            out.append(np.full((SIZE, SIZE, 3), 128, np.uint8))
    kept = align_to_skin(
        FrameStore(tmp_path / "grey.u8"), tracking, builtin_head(), PhotometricConfig(), tmp_path / "s.u8",
        QuietProgress(),
    )  # fmt: skip
    np.testing.assert_array_equal(kept.R_camera_head, tracking.R_camera_head)


def test_frames_without_a_face_do_not_pull(tmp_path: Path) -> None:
    frames, tracking = textured_clip(tmp_path)
    valid = tracking.valid.copy()
    valid[20:24] = False
    store = tmp_path / "frames.u8"
    data = np.memmap(store, np.uint8, "r+").reshape(COUNT, SIZE, SIZE, 3)
    data[20:24] = np.random.default_rng(7).integers(0, 255, data[20:24].shape)
    data.flush()
    aligned = align_to_skin(
        FrameStore(store), replace(tracking, valid=valid), builtin_head(), PhotometricConfig(), tmp_path / "s.u8",
        QuietProgress(),
    )  # fmt: skip
    R_true = np.load(tmp_path / "R.npy", allow_pickle=False)
    assert rotation_error(aligned.R_camera_head[valid], R_true[valid])[0] < 0.2
    del frames
