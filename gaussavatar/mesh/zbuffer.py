"""Mesh z-buffer: which triangle each pixel sees, where on it, and how far away.

The native version is ``cuda_ext/cpu/mesh.cpp``; :func:`rasterize_mesh_reference` is the
same in numpy, the oracle of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from gaussavatar.native.library import load_library

NEAR = 0.01
"""Triangles with a corner nearer than this many metres are left out."""


@dataclass(frozen=True)
class MeshRaster:
    """What each pixel of a batch of images sees of a mesh.

    ``triangle_index`` is -1 where nothing is; ``barycentrics`` are perspective-correct
    weights of the triangle's corners; ``depth`` is camera z in metres, 0 where nothing is.
    """

    triangle_index: Int32[np.ndarray, "*b h w"]
    barycentrics: Float32[np.ndarray, "*b h w 3"]
    depth: Float32[np.ndarray, "*b h w"]


def rasterize_mesh(
    vertices_camera: Float[np.ndarray, "*b v 3"],
    triangles: Int[np.ndarray, "t 3"],
    K: Float[np.ndarray, "*#b 3 3"],
    width: int,
    height: int,
    *,
    cull: bool = False,
    near: float = NEAR,
) -> MeshRaster:
    """Rasterize one mesh, or a batch of meshes with common triangles, on the CPU; images of a batch side by side.

    Args:
        vertices_camera: vertices in OpenCV camera space, metres; with or without a batch dimension.
        triangles: vertex indices.
        K: camera matrices without skew; one serves the whole batch.
        width: image width in pixels; pixel centres are at +0.5.
        height: image height in pixels.
        cull: leave out triangles seen from their back.
        near: triangles with a corner nearer than this (metres) are left out.
    """
    batched = vertices_camera.ndim == 3
    vertices = np.ascontiguousarray(vertices_camera if batched else vertices_camera[None], np.float32)
    faces = _checked_triangles(triangles, vertices.shape[1])
    n_batch = len(vertices)
    intrinsics = _intrinsics(K, n_batch)
    triangle_index = np.empty((n_batch, height, width), np.int32)
    barycentrics = np.empty((n_batch, height, width, 3), np.float32)
    depth = np.empty((n_batch, height, width), np.float32)
    load_library().ga_rasterize_mesh(
        *(vertices, faces, intrinsics),
        *(n_batch, vertices.shape[1], len(faces), width, height),
        *(near, int(cull)),
        *(triangle_index, barycentrics, depth),
    )
    if batched:
        return MeshRaster(triangle_index, barycentrics, depth)
    return MeshRaster(triangle_index[0], barycentrics[0], depth[0])


def interpolate(
    raster: MeshRaster, corners: Int[np.ndarray, "t 3"], attributes: Float[np.ndarray, "n c"]
) -> Float32[np.ndarray, "h w c"]:
    """Values of surface attributes at every pixel of one image; zero where nothing is seen.

    Args:
        raster: one image's raster.
        corners: the rows of ``attributes`` at each triangle's corners (the triangles themselves for
            per-vertex attributes).
        attributes: one row per vertex or per corner.
    """
    values = np.ascontiguousarray(attributes, np.float32)
    rows = _checked_triangles(corners, len(values))
    index = np.ascontiguousarray(raster.triangle_index)
    weights = np.ascontiguousarray(raster.barycentrics)
    if index.max(initial=-1) >= len(rows):
        raise ValueError(f"the raster names triangle {index.max()}, there are {len(rows)} rows of corners")
    out = np.empty((*index.shape, values.shape[1]), np.float32)
    load_library().ga_interpolate_mesh(index, weights, rows, values, index.size, values.shape[1], out)
    return out


def _checked_triangles(triangles: np.ndarray, n_vertices: int) -> np.ndarray:
    faces = np.ascontiguousarray(triangles, np.int32)
    if faces.ndim != 2 or faces.shape[1] != 3 or (faces.size and (faces.min() < 0 or faces.max() >= n_vertices)):
        raise ValueError(f"triangles must be (t, 3) indices below {n_vertices}, got shape {faces.shape}")
    return faces


def _intrinsics(K: np.ndarray, n_batch: int) -> np.ndarray:
    matrices = np.broadcast_to(K, (n_batch, 3, 3))
    return np.ascontiguousarray(
        np.stack([matrices[:, 0, 0], matrices[:, 1, 1], matrices[:, 0, 2], matrices[:, 1, 2]], 1), np.float32
    )


def rasterize_mesh_reference(
    vertices_camera: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    K: Float[np.ndarray, "3 3"],
    width: int,
    height: int,
    *,
    cull: bool = False,
    near: float = NEAR,
) -> MeshRaster:
    """The same as :func:`rasterize_mesh` for one mesh, one triangle after another in numpy (float64)."""
    vertices = np.asarray(vertices_camera, np.float64)
    triangle_index = np.full((height, width), -1, np.int32)
    barycentrics = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float64)
    for index, triangle in enumerate(triangles):
        corners = vertices[triangle]
        if not (corners[:, 2] >= near).all():
            continue
        pixels = corners[:, :2] / corners[:, 2:] * [K[0, 0], K[1, 1]] + [K[0, 2], K[1, 2]]
        area = _cross(pixels[1] - pixels[0], pixels[2] - pixels[0])
        if abs(area) <= 1e-12 or (cull and area > 0):
            continue
        low = np.maximum(np.ceil(pixels.min(0) - 0.5), 0).astype(int)
        high = np.minimum(np.floor(pixels.max(0) - 0.5), [width - 1, height - 1]).astype(int)
        if (high < low).any():
            continue
        grid = np.stack(np.meshgrid(*(np.arange(a, b + 1) + 0.5 for a, b in zip(low, high, strict=True))), -1)
        weights = np.stack(
            [_cross(pixels[(k + 2) % 3] - pixels[(k + 1) % 3], grid - pixels[(k + 1) % 3]) / area for k in range(3)], -1
        )
        perspective = weights / corners[:, 2]
        z = 1 / perspective.sum(-1)
        window = (slice(low[1], high[1] + 1), slice(low[0], high[0] + 1))
        seen = (weights >= 0).all(-1) & (z < depth[window])
        triangle_index[window][seen] = index
        depth[window][seen] = z[seen]
        barycentrics[window][seen] = (perspective * z[..., None])[seen]
    return MeshRaster(triangle_index, barycentrics, np.where(np.isinf(depth), 0, depth).astype(np.float32))


def _cross(a: Float[np.ndarray, "*_ 2"], b: Float[np.ndarray, "*_ 2"]) -> np.ndarray | np.float64:
    """The z component of the cross product of plane vectors."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
