"""Where a camera stands besides where the clip was filmed from."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.types import Camera


def head_motion(
    T_camera_head: Float32[np.ndarray, "*b 4 4"], T_reference: Float32[np.ndarray, "4 4"]
) -> Float32[np.ndarray, "*b 4 4"]:
    """How the head has moved since the reference frame, as a motion of the world: reference^-1 @ now."""
    return (np.linalg.inv(T_reference.astype(float)) @ T_camera_head.astype(float)).astype(np.float32)


def orbited(camera: Camera, centre: Float[np.ndarray, "3"], yaw: float, pitch: float) -> Camera:
    """The camera turned about a point of the world, at the same distance.

    Args:
        camera: where to start.
        centre: the point that keeps its place in the picture, metres.
        yaw: radians; positive moves the camera to the picture's right.
        pitch: radians; positive moves the camera up.
    """
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    T_camera_world = camera.T_camera_world.astype(float)
    R_camera_world = T_camera_world[:3, :3]
    # The turn is about the picture's own axes, so that the head's pose in the first frame does not tilt it.
    R = R_camera_world.T @ about_x @ about_y @ R_camera_world
    T_world_turned = np.eye(4)
    T_world_turned[:3, :3], T_world_turned[:3, 3] = R, centre - R @ centre
    return Camera((T_camera_world @ T_world_turned).astype(np.float32), camera.K, camera.width, camera.height)


def resized(camera: Camera, size: int, zoom: float = 1.0) -> Camera:
    """The same view as a square picture of another size, ``zoom`` times as large in it."""
    K = camera.K.astype(float) * (size / camera.width)
    K[2, 2] = 1
    K[0, 0], K[1, 1] = K[0, 0] * zoom, K[1, 1] * zoom
    return Camera(camera.T_camera_world, K.astype(np.float32), size, size)
