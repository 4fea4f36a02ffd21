"""A GaussianAvatars folder of our own making, on a FLAME of our own making."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.head.formats.flame import flame_head
from gaussavatar.head.gaussian_rig import on_triangles, read_gaussian_avatar
from gaussavatar.head.model import HeadModel
from gaussavatar.head.safe.checks import check_flame
from gaussavatar.media.gaussians import PLAIN, RawCloud
from tests.unit.head.synthetic_flame import flame_arrays
from tests.unit.head.test_flame import flame_oracle

BOUND = np.array([0, 17, 4000, 9975, 9980])
"""The last one lies on teeth."""


@pytest.fixture(scope="module")
def flame() -> tuple[HeadModel, np.ndarray, dict[str, np.ndarray]]:
    arrays = check_flame(flame_arrays())
    return *flame_head(arrays, "flame"), arrays


def write_folder(folder: Path, **parameters: np.ndarray) -> Path:
    names = [*PLAIN, "binding_0"]
    rows = np.zeros(len(BOUND), [(name, "<f4") for name in names])
    rows["rot_0"], rows["binding_0"] = 1, BOUND
    rows["y"][1] = 0.5
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    lines += [*(f"property float {name}" for name in names), "end_header", ""]
    (folder / "point_cloud.ply").write_bytes("\n".join(lines).encode() + rows.tobytes())
    np.savez(folder / "flame_param.npz", **parameters)
    return folder


def test_gaussians_ride_on_the_posed_head(
    flame: tuple[HeadModel, np.ndarray, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """Against FLAME's own equations, in its own space; the head's turn before the camera is left out."""
    head, T_source_template, arrays = flame
    random = np.random.default_rng(0)
    shape, expr = random.normal(size=300), random.normal(size=(4, 100))
    neck, jaw, eyes = (0.2 * random.normal(size=(4, width)) for width in (3, 3, 6))
    folder = write_folder(
        tmp_path, shape=shape, expr=expr, neck_pose=neck, jaw_pose=jaw, eyes_pose=eyes,
        rotation=np.ones((4, 3)), translation=np.ones((4, 3)), static_offset=np.zeros((1, 5143, 3)),
    )  # fmt: skip
    cloud, left_out = read_gaussian_avatar(folder, head)
    assert left_out == 1 and len(cloud.means) == 4
    pose = np.concatenate([np.zeros(3), neck[0], jaw[0], eyes[0]]).reshape(5, 3)
    points = flame_oracle(arrays, *(torch.from_numpy(each) for each in (shape, expr[0], pose))).numpy()
    corners = points[arrays["f"][BOUND[:4].astype(int)]]
    wanted = corners.mean(axis=1)
    edge, side = corners[1, 1] - corners[1, 0], corners[1, 2] - corners[1, 0]
    area = np.cross(edge, side)
    length = np.linalg.norm(edge)
    wanted[1] += 0.5 * area / np.linalg.norm(area) * (length + np.linalg.norm(area) / length) / 2
    seen = cloud.means.double().numpy() @ T_source_template[:3, :3].T + T_source_template[:3, 3]
    np.testing.assert_allclose(seen, wanted, atol=2e-5)


def test_a_gaussian_keeps_its_shape_in_its_triangle() -> None:
    """A triangle in the plane of x and z, twice as large as its unit: edge 2 and height 2."""
    points = np.array([[0, 0, 0], [2, 0, 0], [0, 0, -2.0]])
    columns = {name: np.zeros(1) for name in PLAIN} | {"rot_0": np.ones(1), "x": np.ones(1), "scale_1": np.ones(1)}
    placed = on_triangles(RawCloud(columns, np.array([0])), points, np.array([[0, 1, 2]]))
    np.testing.assert_allclose(placed.means[0], [2 / 3 + 2, 0, -2 / 3], atol=1e-6)
    np.testing.assert_allclose(placed.scales[0], [2, 2 * np.e, 2], rtol=1e-6)
    np.testing.assert_allclose(np.abs(placed.quats[0]), [1, 0, 0, 0], atol=1e-6)


def test_what_is_missing_is_said(flame: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = flame[0]
    folder = write_folder(tmp_path, shape=np.zeros(300))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="head install"):
        read_gaussian_avatar(folder)
    (folder / "flame_param.npz").write_bytes(b"no archive")
    with pytest.raises(UserError):
        read_gaussian_avatar(folder, head)
    np.savez(folder / "flame_param.npz", shape=np.full(300, np.nan))
    with pytest.raises(UserError, match="finite numbers for shape"):
        read_gaussian_avatar(folder, head)
    (folder / "flame_param.npz").unlink()
    with pytest.raises(UserError, match="flame_param.npz beside"):
        read_gaussian_avatar(folder, head)
