from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaussavatar.mesh.zbuffer import interpolate, rasterize_mesh, rasterize_mesh_reference
from gaussavatar.native.threads import set_threads

K = np.array([[40.0, 0, 16], [0, 42.0, 12], [0, 0, 1]])


def random_mesh(seed: int, n_triangles: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    vertices = random.uniform([-0.6, -0.6, 0.4], [0.6, 0.6, 2.0], (20, 3)).astype(np.float32)
    triangles = random.integers(0, 20, (n_triangles, 3))
    # Two triangles on the same corners hide each other by rounding alone.
    _, first = np.unique(np.sort(triangles, axis=1), axis=0, return_index=True)
    return vertices, triangles[np.sort(first)]


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_native_and_numpy_see_the_same(seed: int, cull: bool) -> None:
    vertices, triangles = random_mesh(seed)
    ours = rasterize_mesh(vertices, triangles, K, 32, 24, cull=cull)
    twin = rasterize_mesh_reference(vertices, triangles, K, 32, 24, cull=cull)
    same = ours.triangle_index == twin.triangle_index
    # A pixel centre exactly on an edge may fall to either side after rounding.
    assert same.mean() > 0.99
    np.testing.assert_allclose(ours.depth[same], twin.depth[same], atol=1e-5)
    np.testing.assert_allclose(ours.barycentrics[same], twin.barycentrics[same], atol=1e-4)


def test_barycentrics_give_back_the_point_that_the_pixel_sees() -> None:
    vertices, triangles = random_mesh(7, 30)
    raster = rasterize_mesh(vertices, triangles, K, 32, 24)
    rows, columns = np.nonzero(raster.triangle_index >= 0)
    assert len(rows) > 100
    weights = raster.barycentrics[rows, columns]
    points = np.einsum("nk,nkc->nc", weights, vertices[triangles[raster.triangle_index[rows, columns]]])
    projected = points @ K.T
    np.testing.assert_allclose(projected[:, 0] / projected[:, 2], columns + 0.5, atol=2e-3)
    np.testing.assert_allclose(projected[:, 1] / projected[:, 2], rows + 0.5, atol=2e-3)
    np.testing.assert_allclose(points[:, 2], raster.depth[rows, columns], rtol=1e-4)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_empty_pixels_are_marked_and_zero() -> None:
    vertices = np.array([[0, 0, 1], [0.1, 0, 1], [0, 0.1, 1]], np.float32)
    raster = rasterize_mesh(vertices, np.array([[0, 1, 2]]), K, 32, 24)
    empty = raster.triangle_index < 0
    assert 0 < (~empty).sum() < 30
    assert (raster.depth[empty] == 0).all() and (raster.barycentrics[empty] == 0).all()


def test_the_nearer_triangle_hides_the_farther_one_whatever_their_order() -> None:
    near = np.array([[-1, -1, 1], [1, -1, 1], [0, 2, 1]], np.float32)
    vertices = np.concatenate([near + [0, 0, 1], near])
    for triangles, expected in (([[0, 1, 2], [3, 4, 5]], 1), ([[3, 4, 5], [0, 1, 2]], 0)):
        assert rasterize_mesh(vertices, np.array(triangles), K, 32, 24).triangle_index[12, 16] == expected


def test_culling_leaves_out_the_back_of_a_triangle() -> None:
    vertices = np.array([[-1, -1, 2], [1, -1, 2], [0, 2, 2]], np.float32)
    seen = [
        (rasterize_mesh(vertices, np.array([corners]), K, 32, 24, cull=True).triangle_index >= 0).any()
        for corners in ([0, 1, 2], [0, 2, 1])
    ]
    assert seen == [False, True]


def test_triangles_at_or_behind_the_camera_are_left_out() -> None:
    vertices = np.array([[-1, -1, 0.005], [1, -1, 2], [0, 2, 2], [0, 0, -1], [np.nan, 0, 1]], np.float32)
    raster = rasterize_mesh(vertices, np.array([[0, 1, 2], [1, 2, 3], [1, 2, 4]]), K, 32, 24)
    assert (raster.triangle_index == -1).all()


def test_a_batch_is_the_same_as_its_frames_with_any_number_of_threads() -> None:
    meshes = [random_mesh(seed)[0] for seed in range(5)]
    triangles = random_mesh(0)[1]
    cameras = np.stack([K + np.diag([index, 0, 0]) for index in range(5)])
    for threads in (1, 3):
        set_threads(threads)
        batch = rasterize_mesh(np.stack(meshes), triangles, cameras, 32, 24)
        set_threads(None)
        for index, mesh in enumerate(meshes):
            alone = rasterize_mesh(mesh, triangles, cameras[index], 32, 24)
            np.testing.assert_array_equal(batch.triangle_index[index], alone.triangle_index)
            np.testing.assert_array_equal(batch.barycentrics[index], alone.barycentrics)


def test_interpolation_is_linear_on_the_surface() -> None:
    vertices, triangles = random_mesh(3, 25)
    raster = rasterize_mesh(vertices, triangles, K, 32, 24)
    attributes = np.c_[vertices, 2 * vertices[:, :1] - 1]
    values = interpolate(raster, triangles, attributes)
    covered = raster.triangle_index >= 0
    np.testing.assert_allclose(values[covered][:, 2], raster.depth[covered], rtol=1e-4)
    np.testing.assert_allclose(values[covered][:, 3], 2 * values[covered][:, 0] - 1, atol=1e-5)
    assert (values[~covered] == 0).all()


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize("triangles", [[[0, 1, 20]], [[-1, 1, 2]], [[0, 1]]])
def test_bad_triangles_raise_instead_of_reading_foreign_memory(triangles: list) -> None:
    vertices, _ = random_mesh(0)
    with pytest.raises(ValueError, match="triangles"):
        rasterize_mesh(vertices, np.array(triangles), K, 32, 24)
