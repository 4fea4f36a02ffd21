"""Geometry on triangle meshes: normals, nearest points, and points bound to a moving surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

CANDIDATES = 48
"""Triangles that are tried for each point, nearest centres first."""


def area_normals(corners: Float[np.ndarray, "t 3 3"]) -> Float[np.ndarray, "t 3"]:
    """Normals of triangles, outward, as long as twice their areas."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def vertex_normals(vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]) -> Float64[np.ndarray, "v 3"]:
    """Unit normals of vertices, outward, weighted by the areas of the triangles around them."""
    face = area_normals(vertices[triangles])
    total = np.zeros((len(vertices), 3))
    for axis in range(3):
        weights = np.ascontiguousarray(face[:, axis])
        for k in range(3):
            total[:, axis] += np.bincount(triangles[:, k], weights, len(vertices))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)


@dataclass(frozen=True)
class SurfacePoints:
    """Points on a surface: triangle, barycentric weights of its corners, distance to the query in metres."""

    face: Int64[np.ndarray, "n"]
    barycentrics: Float64[np.ndarray, "n 3"]
    distance: Float64[np.ndarray, "n"]

    def matrix(self, triangles: Int[np.ndarray, "t 3"], n_vertices: int) -> csr_matrix:
        """The sparse matrix (n, v) from vertices to these points."""
        rows = np.repeat(np.arange(len(self.face)), 3)
        return csr_matrix(
            (self.barycentrics.ravel(), (rows, triangles[self.face].ravel())), (len(self.face), n_vertices)
        )


def closest_points(
    points: Float[np.ndarray, "n 3"], vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
) -> SurfacePoints:
    """The nearest surface point of each query point, among the triangles with the nearest centres."""
    corners = np.asarray(vertices, np.float64)[triangles]
    _, near = cKDTree(corners.mean(1)).query(points, k=min(CANDIDATES, len(triangles)))
    near = near.reshape(len(points), -1)
    weights = closest_barycentrics(np.asarray(points, np.float64)[:, None], corners[near])
    distance = np.linalg.norm((weights[..., None] * corners[near]).sum(-2) - points[:, None], axis=-1)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    return SurfacePoints(near[rows, best], weights[rows, best], distance[rows, best])


def closest_barycentrics(
    points: Float[np.ndarray, "*#b 3"], triangles: Float[np.ndarray, "*b 3 3"]
) -> Float[np.ndarray, "*b 3"]:
    """Barycentric weights of the point of each triangle that is nearest to a point.

    The plane's projection where it falls inside, else the best of the three edges'.
    """
    a, b, c = triangles[..., 0, :], triangles[..., 1, :], triangles[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    scale = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / scale, (d00 * d21 - d01 * d20) / scale
    best = np.stack(np.broadcast_arrays(1 - v - w, v, w), -1)
    inside = (best >= 0).all(-1)
    nearest = np.full(inside.shape, np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        p, q = triangles[..., first, :], triangles[..., second, :]
        along = ((points - p) * (q - p)).sum(-1) / np.maximum(((q - p) ** 2).sum(-1), 1e-30)
        along = np.clip(along, 0, 1)
        distance = np.linalg.norm(p + along[..., None] * (q - p) - points, axis=-1)
        better = ~inside & (distance < nearest)
        weights = np.zeros_like(best)
        weights[..., first], weights[..., second] = 1 - along, along
        best = np.where(better[..., None], weights, best)
        nearest = np.where(better, distance, nearest)
    return best
