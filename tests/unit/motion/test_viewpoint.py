"""Cameras around a point: it keeps its place, what lies before it moves as it should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussavatar.motion.viewpoint import head_motion, orbited, resized
from gaussavatar.types import Camera

CENTRE = np.array([0.01, -0.02, 0.05])
K = np.array([[400, 0, 128], [0, 400, 120], [0, 0, 1]], np.float32)


def filming(tilt: float = 0.0) -> Camera:
    T = np.eye(4, dtype=np.float32)
    T[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    T[:3, 3] = (0.03, 0.01, 0.7)
    return Camera(T, K, 256, 256)


def pixel(camera: Camera, point: np.ndarray) -> np.ndarray:
    seen = camera.K @ (camera.T_camera_world[:3, :3] @ point + camera.T_camera_world[:3, 3])
    return seen[:2] / seen[2]


@given(st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-1, 1))
def test_the_centre_keeps_its_place_and_distance(yaw: float, pitch: float, tilt: float) -> None:
    before, after = filming(tilt), orbited(filming(tilt), CENTRE, yaw, pitch)
    assert np.allclose(pixel(after, CENTRE), pixel(before, CENTRE), atol=0.02)
    R = after.T_camera_world[:3, :3]
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-5) and np.linalg.det(R) > 0


def test_what_lies_before_the_centre_moves_against_the_camera() -> None:
    nose = CENTRE - (0, 0, 0.1)
    x, y = pixel(filming(), nose)
    assert pixel(orbited(filming(), CENTRE, 0.3, 0), nose)[0] < x - 5
    assert pixel(orbited(filming(), CENTRE, -0.3, 0), nose)[0] > x + 5
    assert pixel(orbited(filming(), CENTRE, 0, 0.3), nose)[1] > y + 5


def test_another_size_is_the_same_picture_and_zoom_stays_in_the_middle() -> None:
    point = np.array([0.05, 0.08, 0.0])
    assert np.allclose(pixel(resized(filming(), 512), point), 2 * pixel(filming(), point), atol=1e-3)
    near = resized(filming(), 256, zoom=1.5)
    axis = K[:2, 2]
    assert np.allclose(pixel(near, point) - axis, 1.5 * (pixel(filming(), point) - axis), atol=1e-3)
    assert near.width == near.height == 256


def test_head_motion_takes_many_poses_at_once() -> None:
    poses = np.stack([filming(tilt).T_camera_world for tilt in (0.0, 0.2, -0.4)])
    moved = head_motion(poses, poses[1])
    assert np.allclose(moved[1], np.eye(4), atol=1e-6)
    assert np.allclose(poses[1] @ moved, poses, atol=1e-5)
    assert moved[2] == pytest.approx(head_motion(poses[2], poses[1]))
