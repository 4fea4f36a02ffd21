"""pytorch3d's mesh rasterizer behind our own protocol; needs pytorch3d, which has to be built from its source."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch
from jaxtyping import Float, Int

from gaussavatar.errors import UserError
from gaussavatar.mesh.zbuffer import NEAR, MeshRaster


def require_pytorch3d() -> None:
    """Say so where pytorch3d is not installed.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("pytorch3d") is None:
        raise UserError("pytorch3d", "none installed", "build it from its source, or use the native mesh rasterizer")


def ndc_vertices(
    vertices_camera: Float[np.ndarray, "b v 3"], K: Float[np.ndarray, "b 3 3"], width: int, height: int
) -> Float[np.ndarray, "b v 3"]:
    """Vertices as pytorch3d's rasterizer takes them: x to the left, y up, the shorter side of the image -1..1; z kept.

    Pixel centres are at +0.5 on both sides, so nothing is shifted.
    """
    u = vertices_camera[..., 0] / vertices_camera[..., 2] * K[:, None, 0, 0] + K[:, None, 0, 2]
    v = vertices_camera[..., 1] / vertices_camera[..., 2] * K[:, None, 1, 1] + K[:, None, 1, 2]
    short = min(width, height)
    return np.stack([(width - 2 * u) / short, (height - 2 * v) / short, vertices_camera[..., 2]], -1)


def rasterize_mesh_pytorch3d(
    vertices_camera: Float[np.ndarray, "*b v 3"],
    triangles: Int[np.ndarray, "t 3"],
    K: Float[np.ndarray, "*#b 3 3"],
    width: int,
    height: int,
    *,
    cull: bool = False,
    near: float = NEAR,
) -> MeshRaster:
    """The same as :func:`gaussavatar.mesh.zbuffer.rasterize_mesh`, by pytorch3d's ``rasterize_meshes`` on the CPU.

    Raises:
        UserError: pytorch3d is not installed.
    """
    require_pytorch3d()
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    batched = vertices_camera.ndim == 3
    vertices = np.asarray(vertices_camera if batched else vertices_camera[None], np.float64)
    matrices = np.broadcast_to(K, (len(vertices), 3, 3))
    faces = np.asarray(triangles, np.int64)
    results = []
    for points, matrix in zip(vertices, matrices, strict=True):
        whole = (points[faces][..., 2] >= near).all(1)
        kept = np.flatnonzero(whole)
        # What lies behind the camera has no place in the image; its triangles are left out already.
        shown = np.where(points[:, 2:] >= near, points, [0.0, 0.0, 1.0])
        ndc = torch.from_numpy(ndc_vertices(shown[None], matrix[None], width, height).astype(np.float32))
        index, depth, barycentrics, _ = rasterize_meshes(
            Meshes(ndc, torch.from_numpy(faces[kept])[None]),
            image_size=(height, width),
            blur_radius=0.0,
            faces_per_pixel=1,
            perspective_correct=True,
            cull_backfaces=cull,
        )
        found = index[0, ..., 0].numpy()
        seen = found >= 0
        triangle = np.where(seen, kept[np.maximum(found, 0)] if len(kept) else -1, -1)
        weights = np.where(seen[..., None], barycentrics[0, :, :, 0].numpy(), 0)
        results.append((triangle, weights, np.where(seen, depth[0, ..., 0].numpy(), 0)))
    index, weights, depth = (np.stack(parts) for parts in zip(*results, strict=True))
    raster = MeshRaster(index.astype(np.int32), weights.astype(np.float32), depth.astype(np.float32))
    if batched:
        return raster
    return MeshRaster(raster.triangle_index[0], raster.barycentrics[0], raster.depth[0])
