"""The fit against known poses: noise, outliers, gaps, jumps, and a mouth that must not shake the head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.landmarks.detect import fill_gaps
from gaussavatar.tracking.poses.fit import TrackingConfig, load_tracking, save_tracking, track_landmarks
from gaussavatar.tracking.poses.rotations import exp_rotation, log_rotation, nearest_rotation
from gaussavatar.tracking.poses.smoothness import find_jumps
from gaussavatar.types import Tracking

from .conftest import FOCAL, SIZE, MadeUpClip, make_clip, with_invalid


def rotation_errors(tracking: Tracking, clip: MadeUpClip) -> np.ndarray:
    """Rotation vectors of the pose errors in degrees, constant offset (the axes' definition) taken out."""
    difference = tracking.R_camera_head.astype(np.float64) @ clip.R.swapaxes(1, 2)
    offset = nearest_rotation(difference.mean(0))
    return np.rad2deg(log_rotation(difference @ offset.T))


def high_passed(values: np.ndarray) -> np.ndarray:
    kernel = np.hanning(11) / np.hanning(11).sum()
    return values - np.apply_along_axis(np.convolve, 0, values, kernel, mode="same")


def test_pose_is_recovered_under_noise(clip: MadeUpClip) -> None:
    tracking = track_landmarks(clip.landmarks(noise_px=0.5))
    errors = np.linalg.norm(rotation_errors(tracking, clip), axis=1)
    # A slow error of a few percent of the turn remains (depth against turn); what shakes is far less.
    assert errors.mean() < 0.6 and errors.max() < 1.0
    assert high_passed(rotation_errors(tracking, clip))[10:-10].std(0).max() < 0.03
    assert np.abs(tracking.t_camera_head[:, :2] - clip.t[:, :2]).mean() < 2e-3
    depth = tracking.t_camera_head[:, 2] / clip.t[:, 2]
    assert depth.std() < 0.004 and abs(depth.mean() - 1) < 0.02
    assert tracking.valid.all()
    assert np.median(tracking.rms) < 0.9
    assert tracking.K[0, 0] == pytest.approx(FOCAL)


def test_shape_is_metric_and_in_head_axes(clip: MadeUpClip) -> None:
    tracking = track_landmarks(clip.landmarks(noise_px=0.2))
    assert np.linalg.norm(tracking.shape[473] - tracking.shape[468]) == pytest.approx(0.063, rel=0.01)
    rest = clip.shape
    still = [i for i in range(468) if np.ptp(clip.points[:, i], axis=0).max() < 1e-6]
    assert np.linalg.norm(tracking.shape[still] - rest[still], axis=1).mean() < 3e-3
    assert tracking.shape[263, 0] > 0.03 > -0.03 > tracking.shape[33, 0]
    assert tracking.shape[152, 1] > 0.05 and tracking.shape[4, 2] < -0.05


def test_mouth_does_not_move_the_head() -> None:
    still, talking = make_clip(mouth_mm=0.0), make_clip(mouth_mm=14.0)
    errors = rotation_errors(track_landmarks(talking.landmarks()), talking)
    calm = rotation_errors(track_landmarks(still.landmarks()), still)
    assert np.abs(errors).mean() < 1.5 * np.abs(calm).mean() + 0.02
    correlation = np.corrcoef(high_passed(errors[:, 0]), high_passed(talking.mouth))[0, 1]
    shake = high_passed(errors[:, 0]).std()
    assert abs(correlation) < 0.3 or shake < 0.01


def test_lips_follow_the_mouth_unfiltered(clip: MadeUpClip) -> None:
    landmarks = clip.landmarks(noise_px=0.2)
    tracking = track_landmarks(landmarks)
    fitted = tracking.shape + np.tensordot(tracking.codes, tracking.basis, 1)
    gap = fitted[:, 14, 1] - fitted[:, 13, 1]
    truth = clip.points[:, 14, 1] - clip.points[:, 13, 1]
    assert np.corrcoef(gap, truth)[0, 1] > 0.98
    assert gap.std() == pytest.approx(truth.std(), rel=0.1)


def test_outliers_are_ignored(clip: MadeUpClip) -> None:
    landmarks = clip.landmarks(noise_px=0.3)
    rng = np.random.default_rng(1)
    points = landmarks.points.copy()
    wild = rng.random(points.shape[:2]) < 0.06
    points[wild, :2] += rng.normal(0, 40, (wild.sum(), 2)).astype(np.float32)
    errors = np.linalg.norm(rotation_errors(track_landmarks(replace(landmarks, points=points)), clip), axis=1)
    assert errors.mean() < 0.6
    assert high_passed(errors)[10:-10].std() < 0.04


def test_short_gaps_are_bridged_and_long_ones_dropped(clip: MadeUpClip) -> None:
    landmarks = with_invalid(clip.landmarks(), slice(30, 34))
    landmarks = with_invalid(landmarks, slice(80, 95))
    landmarks = with_invalid(landmarks, slice(0, 2))
    tracking = track_landmarks(replace(landmarks, points=fill_gaps(landmarks.points, landmarks.valid)))
    assert tracking.valid[30:34].all()
    assert not tracking.valid[80:95].any() and not tracking.valid[:2].any()
    assert tracking.valid.sum() == 150 - 15 - 2
    errors = np.linalg.norm(rotation_errors(tracking, clip), axis=1)
    assert errors[30:34].max() < 0.6
    assert np.isfinite(tracking.t_camera_head).all() and (tracking.t_camera_head[:, 2] > 0.3).all()


def test_a_jump_stays_sharp(clip: MadeUpClip) -> None:
    t = clip.t.copy()
    t[75:] += [0.02, -0.015, 0.0]
    R = clip.R.copy()
    R[75:] = R[75:] @ exp_rotation(np.deg2rad([3.0, -4.0, 2.0]))
    jumped = replace(clip, R=R, t=t)
    tracking = track_landmarks(jumped.landmarks())
    assert tracking.rms[72:79].max() < 1.2
    assert find_jumps(tracking.R_camera_head, tracking.t_camera_head).tolist() == [75]
    unbroken = track_landmarks(clip.landmarks())
    assert not len(find_jumps(unbroken.R_camera_head, unbroken.t_camera_head))
    step = tracking.t_camera_head[75] - tracking.t_camera_head[74]
    assert np.abs(step[:2] - (t[75] - t[74])[:2]).max() < 2e-3


def test_noise_is_smoothed_but_movement_is_not() -> None:
    fast = make_clip(100)
    time = np.arange(100) / 25
    R = exp_rotation(np.deg2rad(6.0) * np.sin(2 * np.pi * 1.6 * time)[:, None] * [[1.0, 0.2, 0.0]])
    nodding = replace(fast, R=R)
    errors = rotation_errors(track_landmarks(nodding.landmarks(noise_px=0.6)), nodding)
    assert np.abs(errors).max() < 1.5
    shaky = np.diff(errors[:, :2], n=2, axis=0).std()
    loose = TrackingConfig(sigma_rotation_deg=30, sigma_plane_mm=80, sigma_depth_mm=300)
    free = np.diff(
        rotation_errors(track_landmarks(nodding.landmarks(noise_px=0.6), loose), nodding)[:, :2], n=2, axis=0
    )
    assert shaky < 0.6 * free.std()


def test_size_of_the_picture_does_not_matter(clip: MadeUpClip) -> None:
    small = track_landmarks(clip.landmarks(size=256))
    large = track_landmarks(clip.landmarks(size=1024))
    assert small.K[0, 0] * 4 == pytest.approx(large.K[0, 0])
    assert np.abs(small.t_camera_head - large.t_camera_head).max() < 1e-4
    assert np.abs(small.rms * 4 - large.rms).max() < 1e-2


def test_focal_length_is_held(clip: MadeUpClip) -> None:
    tracking = track_landmarks(clip.landmarks(), focal_px=900.0)
    assert tracking.K[0, 0] == 900.0 and tracking.K[0, 2] == SIZE / 2
    assert tracking.t_camera_head[:, 2].mean() == pytest.approx(0.5 * 900 / FOCAL, rel=0.05)


def test_two_runs_agree_to_the_bit(clip: MadeUpClip) -> None:
    a, b = track_landmarks(clip.landmarks()), track_landmarks(clip.landmarks())
    assert all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("R_camera_head", "codes", "shape", "basis")
    )


@pytest.mark.parametrize("n", [1, 2, 5])
def test_very_short_clips_have_a_pose(n: int) -> None:
    short = make_clip(n, blinks=False)
    tracking = track_landmarks(short.landmarks(noise_px=0.1))
    assert tracking.R_camera_head.shape == (n, 3, 3) and np.isfinite(tracking.shape).all()
    assert n == 2 or tracking.rms.max() < 1.5


def test_no_face_at_all_is_said(clip: MadeUpClip) -> None:
    with pytest.raises(UserError, match="none in any frame"):
        track_landmarks(with_invalid(clip.landmarks(), slice(None)))


def test_saving_keeps_everything(clip: MadeUpClip, tmp_path: Path) -> None:
    tracking = track_landmarks(clip.landmarks())
    save_tracking(tmp_path / "t.safetensors", tracking)
    back = load_tracking(tmp_path / "t.safetensors")
    for name in Tracking.__dataclass_fields__:
        assert np.array_equal(getattr(back, name), getattr(tracking, name)), name
    assert back.valid.dtype == bool and back.size == SIZE
    (tmp_path / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(UserError, match="damaged"):
        load_tracking(tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match="no such file"):
        load_tracking(tmp_path / "none.safetensors")


def test_rotations_round_trip() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3))
    vectors[0] = 0
    vectors[1] = 1e-9
    assert np.abs(log_rotation(exp_rotation(vectors)) - vectors).max() < 1e-9
    assert np.abs(nearest_rotation(exp_rotation(vectors) * 2.5) - exp_rotation(vectors)).max() < 1e-9
