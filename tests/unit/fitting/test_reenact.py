"""An avatar re-enacts what was tracked of somebody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.fitting.reenact import filled, reenacted, softly_between
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.landmarks.detect import save_landmarks
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.motion.poses import deviations, mean_pose
from gaussavatar.statistics import correlation
from gaussavatar.tracking.face.motion import save_motion
from gaussavatar.tracking.head.track import HeadTrack, save_head_track
from gaussavatar.tracking.poses.fit import save_tracking
from gaussavatar.types import FaceMotion, Landmarks, Tracking

N = 80
TIME = np.arange(N) / 25
OPENED = (0.3 * np.clip(np.sin(2 * np.pi * 1.7 * TIME), 0, 1)).astype(np.float32)
REST = 0.07
"""What the other person's resting jaw is fitted with."""


def write_other(folder: Path, seen: np.ndarray) -> CaptureLayout:
    """The records of a video of somebody whose jaw opens, who blinks once, turns, and sits two metres away."""
    layout = CaptureLayout(folder)
    folder.mkdir(parents=True)
    save_landmarks(layout.landmarks, Landmarks(np.zeros((N, 478, 3), np.float32), seen, 512))
    turns = np.outer(np.radians(3 * np.sin(2 * np.pi * 0.3 * TIME)), [0, 1, 0])
    tracking = Tracking(
        Rotation.from_rotvec(turns + [0.2, 0, 0]).as_matrix().astype(np.float32),
        np.tile(np.float32([0.1, 0, 2.0]), (N, 1)),
        np.array([[900, 0, 256], [0, 900, 256], [0, 0, 1]], np.float32), 512,
        np.zeros((478, 3), np.float32), np.zeros((1, 478, 3), np.float32), np.zeros((N, 1), np.float32),
        seen, np.zeros(N, np.float32),
    )  # fmt: skip
    save_tracking(layout.tracking, tracking)
    upper = np.full((N, 2), 0.1, np.float32)
    upper[40:44, 1] = 1.0
    upper[~seen] = 7
    motion = FaceMotion(
        np.zeros((N, 3), np.float32), np.zeros((3, 478, 3), np.float32), upper, np.zeros((2, 478, 3), np.float32),
        ("squint", "blink_left"), 0.3 * OPENED + 0.01, np.full(N, 0.4, np.float32),
    )  # fmt: skip
    save_motion(layout.motion, motion)
    head = builtin_head()
    weights = np.zeros((N, len(head.expression_names)), np.float32)
    weights[:, head.expression_names.index("jawOpen")] = OPENED + REST
    weights[~seen] = 9
    joints = np.zeros((N, len(head.joint_names), 3), np.float32)
    save_head_track(
        folder, HeadTrack(head, "built-in", np.zeros(0, np.float32), weights, joints, np.zeros(N, np.float32))
    )
    return layout


@pytest.fixture(scope="module")
def avatar(toy_avatar: Path) -> LoadedAvatar:
    return load_avatar(toy_avatar)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> CaptureLayout:
    seen = np.ones(N, bool)
    seen[60:63] = False
    return write_other(tmp_path_factory.mktemp("other") / "capture", seen)


def test_lips_lids_and_head_follow(avatar: LoadedAvatar, other: CaptureLayout) -> None:
    track = reenacted(avatar, other)
    direction = avatar.mouth_open_direction
    opened = (track.mouth_codes - avatar.closed.numpy()) @ direction / (direction @ direction)
    assert "jawOpen" in ARKIT_EXPRESSIONS
    assert correlation(opened, OPENED) > 0.97 and np.abs(opened[OPENED == 0]).max() < 0.05 * opened.max()
    left = avatar.upper_names.index("blink_left")
    assert track.upper[40:44, left].min() > 0.8 and np.abs(np.delete(track.upper[:, left], np.s_[40:44])).max() < 0.2
    mean = mean_pose(avatar.filmed.T_camera_world)
    assert np.abs(np.linalg.norm(track.T_camera_world[:, :3, 3] - mean[:3, 3], axis=1)).max() < 0.05
    assert track.places.max() < len(avatar.filmed) and np.isfinite(track.upper).all()


def test_the_head_turns_as_far_as_the_clip_shows(toy_avatar: Path, other: CaptureLayout) -> None:
    avatar = load_avatar(toy_avatar)
    phase = np.linspace(0, 2 * np.pi, len(avatar.filmed))
    for degrees, least, most in ((10.0, 2.95, 3.05), (1.0, 0.9, 1.6)):
        poses = avatar.filmed.T_camera_world.copy()
        turns = np.radians(degrees) * np.stack([np.cos(phase), np.sin(phase), np.sin(2 * phase)], 1)
        poses[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()
        turning = replace(avatar, filmed=replace(avatar.filmed, T_camera_world=poses))
        moved = deviations(reenacted(turning, other).T_camera_world, mean_pose(poses))
        yaw = np.degrees(moved[:, 1])
        assert least < np.ptp(yaw) / 2 < most
        assert correlation(yaw, np.sin(2 * np.pi * 0.3 * TIME)) > 0.97


def test_frames_without_a_face_are_bridged_and_the_end_is_held(avatar: LoadedAvatar, other: CaptureLayout) -> None:
    track = reenacted(avatar, other, seconds=4.0)
    assert len(track) == 100 and np.array_equal(track.mouth_codes[80:], np.repeat(track.mouth_codes[79:80], 20, axis=0))
    steps = np.abs(np.diff(track.mouth_codes, axis=0)).max()
    assert np.abs(np.diff(track.mouth_codes[58:65], axis=0)).max() <= steps and np.abs(track.upper[60:63]).max() < 1
    assert len(reenacted(avatar, other, seconds=1.0)) == 25


def test_a_video_that_hardly_shows_a_face_is_refused(avatar: LoadedAvatar, tmp_path: Path) -> None:
    seen = np.arange(N) % 3 == 0
    with pytest.raises(UserError, match="34 % of its frames"):
        reenacted(avatar, write_other(tmp_path / "capture", seen))


def test_bounds_are_soft() -> None:
    values = np.linspace(-3, 3, 61)[:, None]
    kept = softly_between(values, np.array([-1.0]), np.array([1.0]))
    inside = np.abs(values[:, 0]) <= 1
    np.testing.assert_allclose(kept[inside], values[inside])
    assert (np.diff(kept[:, 0]) > 0).all() and 1.15 < kept.max() <= 1.2
    assert filled(np.array([[0.0], [9.0], [2.0]]), np.array([True, False, True]))[1, 0] == 1.0
