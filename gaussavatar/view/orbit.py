"""The browser's camera as the avatar's cameras, and how large an image to render for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32

from gaussavatar.render.torch_oracle import rotation_from_quats
from gaussavatar.types import Camera

SMALLEST, LARGEST = 160, 768
"""Least and greatest height of a streamed image, pixels."""


@dataclass(frozen=True)
class BrowserCamera:
    """A page's camera: camera-to-world as quaternion and position (metres), both sides OpenCV, and its canvas."""

    wxyz: tuple[float, ...]
    position: tuple[float, ...]
    fov: float
    """Vertical field of view, radians."""
    aspect: float
    """Width over height of the canvas."""

    def camera(self, rows: int) -> Camera:
        """The same view as a picture of about ``rows`` rows."""
        width, height = image_size(rows, self.aspect)
        return Camera(view_matrix(self.wxyz, self.position), intrinsics(self.fov, width, height), width, height)


@dataclass(frozen=True)
class StartView:
    """A browser camera: position and target in the world, vertical field of view in radians."""

    position: Float[np.ndarray, "3"]
    look_at: Float[np.ndarray, "3"]
    fov: float


def start_view(
    T_camera_world: Float32[np.ndarray, "4 4"], K: Float32[np.ndarray, "3 3"], size: int, centre: Float[np.ndarray, "3"]
) -> StartView:
    """The filming camera, turned so that ``centre`` is in the middle, as a browser camera."""
    R, t = T_camera_world[:3, :3].astype(float), T_camera_world[:3, 3].astype(float)
    return StartView(-R.T @ t, np.asarray(centre, float), float(2 * np.arctan(size / 2 / K[1, 1])))


def view_matrix(wxyz: Sequence[float], position: Sequence[float]) -> Float32[np.ndarray, "4 4"]:
    """World-to-camera matrix of a browser camera, given camera-to-world as unit quaternion and position.

    Both sides are OpenCV: z forward, y down.
    """
    R_world_camera = rotation_from_quats(torch.tensor([wxyz], dtype=torch.float64))[0].numpy()
    T = np.eye(4, dtype=np.float32)
    T[:3, :3] = R_world_camera.T
    T[:3, 3] = -R_world_camera.T @ np.asarray(position, float)
    return T


def intrinsics(fov: float, width: int, height: int) -> Float32[np.ndarray, "3 3"]:
    """Pinhole matrix with the vertical field of view ``fov`` (radians) and the middle of the image as centre."""
    focal = height / 2 / np.tan(fov / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)


def image_size(height: int, aspect: float) -> tuple[int, int]:
    """Even width and height of an image of about ``height`` rows for a canvas of ``aspect`` = width / height."""
    rows = max(2, height // 2 * 2)
    return max(2, round(rows * aspect / 2) * 2), rows


def affordable_height(seconds_per_pixel: float, budget: float, aspect: float) -> int:
    """The height of image that renders within ``budget`` seconds, within the bounds of this module."""
    rows = np.sqrt(budget / max(seconds_per_pixel, 1e-12) / aspect)
    return int(np.clip(rows // 16 * 16, SMALLEST, LARGEST))
