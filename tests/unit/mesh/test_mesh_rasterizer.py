from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from gaussavatar.errors import UserError
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.mesh.rasterizer import MESH_RASTERIZERS, get_mesh_rasterizer
from gaussavatar.mesh.rasterizer_pytorch3d import ndc_vertices, rasterize_mesh_pytorch3d
from gaussavatar.mesh.zbuffer import rasterize_mesh, rasterize_mesh_reference

K = np.array([[300.0, 0, 90], [0, 310.0, 60], [0, 0, 1]])
WIDTH, HEIGHT = 180, 128
HAS_PYTORCH3D = importlib.util.find_spec("pytorch3d") is not None


def head_before_the_camera() -> tuple[np.ndarray, np.ndarray]:
    head = builtin_head(embedded=False)
    return (head.template + [0.02, -0.03, 0.75]).astype(np.float32), head.triangles


@pytest.mark.skipif(not HAS_PYTORCH3D, reason="pytorch3d is not installed; nobody publishes a wheel of it")
@pytest.mark.parametrize("cull", [False, True])
def test_pytorch3d_agrees_within_a_pixel_at_edges(cull: bool) -> None:
    vertices, triangles = head_before_the_camera()
    ours = rasterize_mesh(vertices, triangles, K, WIDTH, HEIGHT, cull=cull)
    theirs = get_mesh_rasterizer("pytorch3d")(vertices, triangles, K, WIDTH, HEIGHT, cull=cull)
    seen, other = ours.triangle_index >= 0, theirs.triangle_index >= 0
    square = np.ones((3, 3), bool)
    assert (seen <= binary_dilation(other, square)).all() and (other <= binary_dilation(seen, square)).all()
    same = (ours.triangle_index == theirs.triangle_index) & seen
    assert same.sum() > 0.95 * seen.sum()
    np.testing.assert_allclose(ours.depth[same], theirs.depth[same], atol=1e-4)
    np.testing.assert_allclose(ours.barycentrics[same], theirs.barycentrics[same], atol=5e-3)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in pytorch3d's place whose rasterizer reads its arguments as pytorch3d documents them."""

    class Meshes:
        def __init__(self, verts: torch.Tensor, faces: torch.Tensor) -> None:
            self.verts, self.faces = verts, faces

    def rasterize_meshes(
        meshes: Meshes,
        image_size: tuple[int, int],
        blur_radius: float,
        faces_per_pixel: int,
        perspective_correct: bool,
        cull_backfaces: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        assert blur_radius == 0 and faces_per_pixel == 1 and perspective_correct
        height, width = image_size
        x, y, z = meshes.verts[0].double().numpy().T
        # x points left and y up; the shorter side reaches from -1 to 1.
        half = min(height, width) / 2
        plane = np.stack([(width / 2 - half * x) * z, (height / 2 - half * y) * z, z], 1)
        raster = rasterize_mesh_reference(plane, meshes.faces[0].numpy(), np.eye(3), width, height, cull=cull_backfaces)
        empty = raster.triangle_index < 0
        index = torch.from_numpy(raster.triangle_index.astype(np.int64))[None, ..., None]
        depth = torch.from_numpy(np.where(empty, -1, raster.depth))[None, ..., None]
        weights = torch.from_numpy(np.where(empty[..., None], -1, raster.barycentrics))[None, :, :, None]
        return index, depth, weights, depth

    modules = {name: types.ModuleType(name) for name in (
        "pytorch3d", "pytorch3d.structures", "pytorch3d.renderer", "pytorch3d.renderer.mesh",
        "pytorch3d.renderer.mesh.rasterize_meshes",
    )}  # fmt: skip
    modules["pytorch3d.structures"].Meshes = Meshes  # type: ignore[attr-defined]
    modules["pytorch3d.renderer.mesh.rasterize_meshes"].rasterize_meshes = rasterize_meshes  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("gaussavatar.mesh.rasterizer_pytorch3d.require_pytorch3d", lambda: None)


@pytest.mark.parametrize("size", [(48, 32), (32, 48)])
@pytest.mark.parametrize("cull", [False, True])
def test_the_adapter_speaks_as_pytorch3d_documents(stand_in: None, cull: bool, size: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    vertices = random.uniform([-0.5, -0.5, 0.5], [0.5, 0.5, 2.0], (2, 20, 3)).astype(np.float32)
    vertices[:, 0, 2] = -1.0
    triangles = random.integers(0, 20, (30, 3))
    matrix = np.array([[40.0, 0, 17], [0, 42.0, 12], [0, 0, 1]])
    ours = rasterize_mesh(vertices, triangles, matrix, *size, cull=cull)
    theirs = rasterize_mesh_pytorch3d(vertices, triangles, matrix, *size, cull=cull)
    same = ours.triangle_index == theirs.triangle_index
    assert same.mean() > 0.99 and (ours.triangle_index >= 0).mean() > 0.1
    np.testing.assert_allclose(ours.depth[same], theirs.depth[same], atol=1e-4)
    np.testing.assert_allclose(ours.barycentrics[same], theirs.barycentrics[same], atol=2e-3)
    single = rasterize_mesh_pytorch3d(vertices[1], triangles, matrix, *size, cull=cull)
    np.testing.assert_array_equal(single.triangle_index, theirs.triangle_index[1])


def test_the_image_corners_in_pytorch3d_coordinates() -> None:
    corners = np.array([[[-0.3, -0.2, 1.0], [0.3, 0.2, 1.0]]])
    matrix = np.array([[[100.0, 0, 30], [0, 100.0, 20], [0, 0, 1]]])
    np.testing.assert_allclose(ndc_vertices(corners, matrix, 60, 40), [[[1.5, 1, 1], [-1.5, -1, 1]]])


def test_names_of_mesh_rasterizers() -> None:
    assert get_mesh_rasterizer() is rasterize_mesh and MESH_RASTERIZERS[0] == "native"
    with pytest.raises(UserError, match="a mesh rasterizer"):
        get_mesh_rasterizer("opengl")


@pytest.mark.skipif(HAS_PYTORCH3D, reason="pytorch3d is installed")
def test_a_missing_pytorch3d_is_said() -> None:
    with pytest.raises(UserError, match="pytorch3d"):
        get_mesh_rasterizer("pytorch3d")
