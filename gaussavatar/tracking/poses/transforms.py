"""``transforms.json``: cameras and poses under the keys that other head-avatar tools read.

A superset of the nerfstudio keys and of GaussianAvatars' (``timestep_index``,
``camera_index``, own intrinsics per frame). The head stands still and the camera moves:
``transform_matrix`` is camera-to-world with OpenGL axes (y up, z backward), metres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gaussavatar.storage import write_json
from gaussavatar.types import Tracking


def opengl_camera_to_world(
    R_camera_head: Float[np.ndarray, "n 3 3"], t_camera_head: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 4 4"]:
    """Invert OpenCV world-to-camera poses and flip y and z of the camera's axes."""
    R_head_camera = np.transpose(R_camera_head, (0, 2, 1))
    T = np.tile(np.eye(4), (len(R_camera_head), 1, 1))
    T[:, :3, :3] = R_head_camera * np.array([1.0, -1.0, -1.0])
    T[:, :3, 3] = -np.einsum("nij,nj->ni", R_head_camera, t_camera_head)
    return T


def write_transforms(path: Path, tracking: Tracking, frames: str) -> None:
    """Write every usable frame; pixels are frame ``timestep_index`` of the flat uint8 file named ``frames``."""
    K, size = tracking.K, tracking.size
    intrinsics: dict[str, Any] = {
        "fl_x": float(K[0, 0]),
        "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "w": size,
        "h": size,
    }
    T = opengl_camera_to_world(tracking.R_camera_head.astype(float), tracking.t_camera_head.astype(float))
    usable = np.flatnonzero(tracking.valid)
    entries = [
        {
            "timestep_index": int(index),
            "timestep_index_original": int(index),
            "timestep_id": f"{index:05d}",
            "camera_index": 0,
            "camera_id": "0",
            "file_path": frames,
            "transform_matrix": T[index].round(7).tolist(),
            **intrinsics,
        }
        for index in usable
    ]
    half = np.arctan(0.5 * size / K[0, 0])
    write_json(
        path,
        {
            **intrinsics,
            "camera_angle_x": float(2 * half),
            "camera_indices": [0],
            "timestep_indices": usable.tolist(),
            "frames": entries,
        },
    )
