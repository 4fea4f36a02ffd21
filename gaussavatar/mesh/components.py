"""Connected parts of a triangle mesh, rings around vertices, and smoothing along its edges."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components


def adjacency(triangles: Int[np.ndarray, "t 3"], n_vertices: int) -> csr_matrix:
    """The symmetric matrix (v, v) with 1 where two vertices share an edge."""
    edges = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    matrix = coo_matrix((np.ones(len(edges), np.float32), edges.T), (n_vertices, n_vertices)).tocsr()
    matrix = matrix + matrix.T
    matrix.data[:] = 1
    return matrix


def component_labels(triangles: Int[np.ndarray, "t 3"], n_vertices: int) -> Int64[np.ndarray, "v"]:
    """The number of the connected part that each vertex belongs to; lone vertices are parts of their own."""
    return connected_components(adjacency(triangles, n_vertices), directed=False)[1].astype(np.int64)


def smooth_over_mesh(
    values: Float[np.ndarray, "v c"], triangles: Int[np.ndarray, "t 3"], rounds: int
) -> Float64[np.ndarray, "v c"]:
    """Values averaged with those of the neighbouring vertices, half and half, this many times."""
    neighbours = adjacency(triangles, len(values))
    count = np.maximum(np.asarray(neighbours.sum(1)).ravel(), 1)
    mean = diags(1 / count) @ neighbours
    lone = np.asarray(neighbours.sum(1)).ravel() == 0
    result = np.asarray(values, np.float64)
    for _ in range(rounds):
        spread = mean @ result
        spread[lone] = result[lone]
        result = 0.5 * (result + spread)
    return result
