"""Other lengths and frame rates, and keyframes: smooth where they act, and nothing anywhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gaussavatar
from gaussavatar.errors import UserError
from gaussavatar.motion.poses import between_poses, posed
from gaussavatar.motion.track import MotionTrack


def moving(n: int = 100, fps: float = 25.0) -> MotionTrack:
    phase = np.linspace(0, 6, n)
    codes = np.stack([np.sin(phase), np.cos(phase)], 1).astype(np.float32)
    upper = np.zeros((n, 2), np.float32)
    upper[30:33, 0] = 1
    poses = posed(np.stack([0 * phase, 0.2 * np.sin(phase), 0 * phase], 1), np.tile([0, 0, 0.6], (n, 1)))
    return MotionTrack(codes, upper, poses.astype(np.float32), np.arange(n), fps, ("blink", "brow"), "me")


@pytest.mark.parametrize("fps", [50.0, 60.0, 24.0, 29.97])
def test_another_frame_rate_shows_the_same_motion(fps: float) -> None:
    track = moving()
    made = track.at_fps(fps)
    assert made.fps == fps and made.seconds == pytest.approx(track.seconds, abs=0.5 / fps) and made.avatar == "me"
    middles = (np.arange(len(made)) + 0.5) / fps
    inside = (middles > 0.05) & (middles < 3.95)
    phase = (middles * 25 - 0.5) * 6 / 99
    assert np.allclose(made.mouth_codes[inside, 0], np.sin(phase)[inside], atol=2e-3)
    assert made.upper.max() == pytest.approx(1, abs=0.02) and made.upper.min() == 0, "a blink goes no further"
    turned = np.arctan2(made.T_camera_world[:, 0, 2], made.T_camera_world[:, 2, 2])
    assert np.allclose(turned[inside], 0.2 * np.sin(phase)[inside], atol=1e-3)
    assert np.abs(made.places[inside] - (middles * 25 - 0.5)[inside]).max() <= 0.5 + 1e-6
    R = made.T_camera_world[:, :3, :3].astype(float)
    assert np.allclose(R @ R.swapaxes(1, 2), np.eye(3), atol=1e-6)


def test_the_same_rate_and_length_change_nothing() -> None:
    track = moving()
    assert track.at_fps(25.0) is track and track.lasting(4.0) is track


def test_a_longer_motion_is_the_whole_of_it_slower() -> None:
    track = moving()
    slow, fast = track.lasting(8.0), track.lasting(2.0)
    assert (len(slow), len(fast), slow.fps) == (200, 50, 25)
    for made in (slow, fast):
        assert np.allclose(made.mouth_codes[[0, -1]], track.mouth_codes[[0, -1]], atol=0.04)
        assert made.places[0] <= 1 and made.places[-1] >= 98
    assert len(track.frames(0, 1).lasting(1.0)) == 25
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="length in seconds"):
            track.lasting(wrong)
    for wrong in (0.0, float("inf")):
        with pytest.raises(UserError, match="frames per second"):
            track.at_fps(wrong)


def test_heads_turn_the_short_way_at_even_speed() -> None:
    a, b = (
        posed(np.array([[0, 0, 0.1], [0, 0, 3.0]]), np.zeros((2, 3))),
        posed(np.array([[0, 0, 0.5], [0, 0, -3.0]]), np.ones((2, 3))),
    )
    quarter = between_poses(a, b, np.array([0.25, 0.25]))
    angles = np.arctan2(quarter[:, 1, 0], quarter[:, 0, 0])
    assert angles[0] == pytest.approx(0.2) and angles[1] == pytest.approx(3.0 + 0.25 * (2 * np.pi - 6.0))
    assert np.allclose(quarter[:, :3, 3], 0.25)


def test_keyframes_are_reached_softly_and_leave_all_else_alone() -> None:
    track = moving()
    made = track.with_keyframes({"brow": {2.0: 0.8, 2.4: 0.4}, "mouth_1": {2.2: 3.0}, "yaw_degrees": {2.0: 20.0}}, 0.2)
    assert made.upper[50, 1] == pytest.approx(0.8) and made.upper[60, 1] == pytest.approx(0.4)
    assert made.mouth_codes[55, 1] == pytest.approx(3.0)
    assert made.T_camera_world[50, 0, 2] == pytest.approx(-np.sin(np.radians(20)), abs=1e-3)
    outside = np.r_[0:45, 66:100]
    for name, array in track.arrays().items():
        assert np.array_equal(getattr(made, name)[outside], array[outside]), name
    assert np.array_equal(made.upper[:, 0], track.upper[:, 0])
    assert np.array_equal(made.mouth_codes[:, 0], track.mouth_codes[:, 0])
    assert np.abs(np.diff(made.upper[:, 1])).max() < 0.3, "in and out without a jump"
    assert np.array_equal(made.places, track.places)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"brows": {1.0: 1.0}}, "got 'brows'; one of blink, brow, yaw_degrees"),
        ({"mouth_2": {1.0: 1.0}}, "got 'mouth_2'"),
        ({"brow": {}}, "moments and values for brow"),
        ({"brow": {9.0: 1.0}}, "within the 4.00 s"),
        ({"brow": {1.0: float("nan")}}, "finite values"),
        ({"brow": {1.0: "high"}}, "numbers for brow"),
    ],
)
def test_keyframes_that_cannot_be_are_refused(keys: dict, said: str, types_unchecked: None) -> None:
    with pytest.raises(UserError) as caught:
        moving().with_keyframes(keys)
    assert said in str(caught.value)


def test_movements_are_cut_joined_and_keyed_like_all_else(types_unchecked: None) -> None:
    track = replace(moving(), movements=np.zeros((100, 1), np.float32), movement_names=("jawOpen",))
    made = MotionTrack.joined([track.frames(0, 50), track.frames(50, 100)]).with_keyframes({"jawOpen": {1.0: 0.7}})
    assert made.movements is not None and made.movements[25, 0] == pytest.approx(0.7) and made.movements[60, 0] == 0
    with pytest.raises(ValueError, match="names and 100 frames for movements"):
        replace(moving(), movements=np.zeros((99, 1), np.float32), movement_names=("jawOpen",))


@pytest.mark.parametrize("kind", ["m.csv", "m.safetensors"])
def test_ten_frames_that_are_changed_change_no_other_picture(toy_avatar: Path, tmp_path: Path, kind: str) -> None:
    avatar = gaussavatar.load_avatar(toy_avatar)
    motion = avatar.motion_of_codes(np.random.default_rng(0).normal(size=(70, 4)))
    motion.save(tmp_path / kind)
    before = MotionTrack.load(tmp_path / kind)
    codes = before.mouth_codes.copy()
    codes[50:60] += 1.5
    replace(before, mouth_codes=codes).save(tmp_path / f"edited_{kind}")
    after = MotionTrack.load(tmp_path / f"edited_{kind}")
    assert np.array_equal(before.T_camera_world, after.T_camera_world)
    changed = [
        index
        for index, (a, b) in enumerate(zip(avatar.frames(before), avatar.frames(after), strict=True))
        if not np.array_equal(a, b)
    ]
    assert changed == list(range(50, 60))
