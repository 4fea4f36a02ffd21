"""Cameras, clock and motion of the viewer: the parts that need no browser."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussavatar.motion.edit import slider_groups, with_sliders
from gaussavatar.motion.track import FaceState as Face
from gaussavatar.motion.track import MotionTrack as Motion
from gaussavatar.motion.viewpoint import head_motion
from gaussavatar.view.clock import PlayClock
from gaussavatar.view.orbit import (
    LARGEST,
    SMALLEST,
    affordable_height,
    image_size,
    intrinsics,
    start_view,
    view_matrix,
)

number = st.floats(-1, 1).map(lambda value: round(value, 3))


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    axis = axis / np.linalg.norm(axis)
    K = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def pose(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    T = np.eye(4, dtype=np.float32)
    T[:3, :3], T[:3, 3] = R, t
    return T


@given(st.tuples(number, number, number, st.floats(0.1, 3)), st.tuples(number, number, number))
def test_view_matrix_inverts_the_browser_camera(turn: tuple, position: tuple) -> None:
    axis = np.array([turn[0], turn[1], turn[2] + 1.5])
    R_world_camera = rotation(axis, turn[3])
    half = turn[3] / 2
    wxyz = (np.cos(half), *(np.sin(half) * axis / np.linalg.norm(axis)))
    T = view_matrix(wxyz, position)
    in_camera = np.array([0.1, -0.2, 0.7])
    in_world = R_world_camera @ in_camera + position
    assert np.allclose(T[:3, :3] @ in_world + T[:3, 3], in_camera, atol=1e-5)


def test_the_start_view_stands_where_the_filming_camera_stood() -> None:
    T = pose(rotation(np.array([0, 1.0, 0]), 0.3), np.array([0.02, -0.01, 0.8]))
    K = np.array([[400, 0, 128], [0, 400, 128], [0, 0, 1]], np.float32)
    view = start_view(T, K, 256, np.zeros(3))
    assert np.allclose(T[:3, :3] @ view.position + T[:3, 3], 0, atol=1e-6)
    assert np.isclose(intrinsics(view.fov, 256, 256)[1, 1], 400, rtol=1e-6)


@given(st.floats(0.1, 2.5), st.integers(64, 800), st.floats(0.4, 2.5))
def test_intrinsics_put_the_field_of_view_at_the_upper_edge(fov: float, height: int, aspect: float) -> None:
    width, rows = image_size(height, aspect)
    assert width % 2 == 0 and rows % 2 == 0 and abs(width / rows - aspect) < 2 / rows + 0.01
    K = intrinsics(fov, width, rows)
    top = K @ np.array([0, -np.tan(fov / 2), 1])
    assert np.allclose(top[:2], [width / 2, 0], atol=1e-2)


def test_images_shrink_when_rendering_is_slow_but_stay_within_bounds() -> None:
    fast, slow = (affordable_height(cost, 0.032, 1.5) for cost in (1e-7, 4e-7))
    assert SMALLEST < slow < fast < LARGEST
    assert fast * fast * 1.5 * 1e-7 <= 0.032
    assert affordable_height(1e-3, 0.032, 1.5) == SMALLEST
    assert affordable_height(1e-12, 0.032, 1.5) == LARGEST


def test_head_motion_moves_the_reference_view_to_the_frame() -> None:
    reference = pose(rotation(np.array([0, 1.0, 0]), 0.2), np.array([0, 0, 0.7]))
    now = pose(rotation(np.array([1.0, 0, 0]), -0.1), np.array([0.01, 0.02, 0.72]))
    assert np.allclose(reference @ head_motion(now, reference), now, atol=1e-6)
    assert np.allclose(head_motion(reference, reference), np.eye(4), atol=1e-6)


def test_clock_keeps_its_place_over_a_pause_and_repeats() -> None:
    clock = PlayClock(4.0)
    clock.play(now=100.0)
    assert clock.position(now=101.5) == pytest.approx(1.5)
    clock.pause(now=101.5)
    assert clock.position(now=200.0) == pytest.approx(1.5)
    clock.play(now=300.0)
    assert clock.position(now=301.0) == pytest.approx(2.5)
    assert clock.position(now=302.0) == pytest.approx(3.5)
    assert clock.position(now=303.0) == pytest.approx(0.5)


def test_clock_follows_the_sound_that_is_heard() -> None:
    clock = PlayClock(60.0)
    clock.play(now=1000.0)
    assert clock.follow(1000.25)
    assert clock.position(now=1010.0) == pytest.approx(9.75)


def test_clock_follows_a_sound_that_has_started_over() -> None:
    clock = PlayClock(4.0)
    clock.play(now=1000.0)
    assert clock.follow(1008.1)
    assert clock.position(now=1009.0) == pytest.approx(0.9)


def test_clock_does_not_believe_a_wrong_clock_or_a_paused_sound() -> None:
    clock = PlayClock(60.0)
    clock.play(now=1000.0)
    assert not clock.follow(1000.0 + 25)
    assert clock.position(now=1001.0) == pytest.approx(1.0)
    clock.pause(now=1001.0)
    assert not clock.follow(1000.1)


@pytest.fixture
def motion() -> Motion:
    frames = np.arange(5, dtype=np.float32)
    return Motion(frames[:, None], -frames[:, None], np.tile(np.eye(4, dtype=np.float32), (5, 1, 1)), np.arange(5))


def test_face_between_frames(motion: Motion) -> None:
    # The middle of frame i is at (i + 0.5) / 25 seconds.
    assert motion.at(2.5 / 25).mouth_codes == pytest.approx(2.0)
    assert motion.at(3.0 / 25).mouth_codes == pytest.approx(2.5)
    assert motion.at(3.0 / 25).upper == pytest.approx(-2.5)
    assert motion.at(0.0).mouth_codes == pytest.approx(0.0)
    assert motion.at(99.0).mouth_codes == pytest.approx(4.0)
    assert [motion.frame_at(place / 25) for place in (0, 0.9, 1.1, 4.9, 7)] == [0, 0, 1, 4, 4]


def test_one_slider_moves_both_lids_and_the_whole_brow() -> None:
    names = ("blink_left", "blink_right", "wide", "brow_inner", "brow_outer", "brow_down")
    groups = slider_groups(names)
    assert groups == {"blink": [0, 1], "wide": [2], "brow": [3, 4], "brow down": [5]}
    face = Face(np.zeros(2, np.float32), np.zeros(6, np.float32))
    moved = with_sliders(face, {"blink": 1.0, "brow": 0.5}, groups, 1.0, np.zeros(2, np.float32), np.float32([2, 0]))
    assert moved.upper.tolist() == [1, 1, 0, 0.5, 0.5, 0]
    assert moved.mouth_codes.tolist() == [2, 0]
    assert face.upper.tolist() == [0] * 6, "the driven face must not be changed in place"
