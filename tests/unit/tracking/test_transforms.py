"""The written cameras project a head point to the pixel that the tracking projects it to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gaussavatar.tracking.poses.transforms import write_transforms
from gaussavatar.types import Tracking


def test_written_cameras_project_like_the_tracking(tmp_path: Path) -> None:
    angle = 0.3
    R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32)
    tracking = Tracking(
        R_camera_head=np.stack([np.eye(3, dtype=np.float32), R]),
        t_camera_head=np.array([[0, 0, 0.5], [0.02, -0.01, 0.6]], np.float32),
        K=np.array([[600, 0, 256], [0, 600, 250], [0, 0, 1]], np.float32),
        size=512,
        shape=np.zeros((478, 3), np.float32),
        basis=np.zeros((1, 478, 3), np.float32),
        codes=np.zeros((2, 1), np.float32),
        valid=np.array([False, True]),
        rms=np.zeros(2, np.float32),
    )
    write_transforms(tmp_path / "transforms.json", tracking, "frames.u8")
    written = json.loads((tmp_path / "transforms.json").read_text())
    assert written["timestep_indices"] == [1] and len(written["frames"]) == 1
    frame = written["frames"][0]
    point = np.array([0.03, -0.02, -0.05])
    camera = tracking.R_camera_head[1] @ point + tracking.t_camera_head[1]
    expected = (tracking.K @ camera)[:2] / camera[2]
    seen = np.linalg.inv(np.array(frame["transform_matrix"])) @ np.append(point, 1)
    assert seen[2] < 0, "OpenGL cameras look along -z"
    pixel = [
        frame["cx"] + frame["fl_x"] * seen[0] / -seen[2],
        frame["cy"] - frame["fl_y"] * seen[1] / -seen[2],
    ]
    np.testing.assert_allclose(pixel, expected, atol=1e-3)
