"""Loop subdivision as one sparse matrix, so that a posed coarse mesh is refined by a product."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy.sparse import csr_matrix, identity


def loop_subdivision(
    triangles: Int32[np.ndarray, "t 3"], n_vertices: int, corner_uv: Float[np.ndarray, "t 3 2"]
) -> tuple[csr_matrix, Int32[np.ndarray, "s 3"], Float[np.ndarray, "s 3 2"]]:
    """One step of Loop's scheme: the matrix from coarse to fine vertices, fine triangles and their corner uv.

    Old vertices come first in their old order. Boundaries keep to their own curve. Each
    triangle becomes the four triangles 4t..4t+3. Loop, "Smooth Subdivision Surfaces Based
    on Triangles" (1987), with Warren's vertex weights (3/8n, and 3/16 for n = 3).
    """
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
    opposite = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    unique, inverse, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    inner = count == 2
    n_edges = len(unique)
    rows, columns, values = [], [], []

    def add(row: np.ndarray, column: np.ndarray, value: np.ndarray | float) -> None:
        rows.append(row)
        columns.append(column)
        values.append(np.broadcast_to(value, row.shape))

    row_of_edge = n_vertices + np.arange(n_edges)
    for end in range(2):
        add(row_of_edge, unique[:, end], np.where(inner, 3 / 8, 1 / 2))
    side = inner[inverse]
    add(n_vertices + inverse[side], opposite[side], 1 / 8)

    on_boundary = np.zeros(n_vertices, bool)
    on_boundary[unique[~inner].ravel()] = True
    valence = np.bincount(unique.ravel(), minlength=n_vertices)
    weight = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    keep = np.where(on_boundary, 3 / 4, 1 - weight * valence)
    rim = np.bincount(unique[~inner].ravel(), minlength=n_vertices)
    # A vertex where several boundaries meet, or that no triangle uses, stays where it is.
    fixed = (on_boundary & (rim != 2)) | (valence == 0)
    keep[fixed] = 1
    vertices = np.arange(n_vertices)
    add(vertices, vertices, keep)
    for a, b in ((0, 1), (1, 0)):
        here, there = unique[:, a], unique[:, b]
        value = np.where(on_boundary[here], np.where(inner, 0, 1 / 8), weight[here])
        add(here, there, np.where(fixed[here], 0, value))
    matrix = csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (n_vertices + n_edges, n_vertices)
    )
    return matrix, *_quarter(triangles, (n_vertices + inverse).reshape(3, -1).T, corner_uv)


def _quarter(
    triangles: Int32[np.ndarray, "t 3"], middle: Int[np.ndarray, "t 3"], corner_uv: Float[np.ndarray, "t 3 2"]
) -> tuple[Int32[np.ndarray, "s 3"], Float[np.ndarray, "s 3 2"]]:
    """Each triangle and its corner uv as four, given the vertices in the middle of its edges."""
    a, b, c = triangles.T
    ab, bc, ca = middle.T
    fine = np.stack([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))], 1)
    p, q = corner_uv, (corner_uv + np.roll(corner_uv, -1, 1)) / 2
    corners = (
        (p[:, 0], q[:, 0], q[:, 2]),
        (q[:, 0], p[:, 1], q[:, 1]),
        (q[:, 2], q[:, 1], p[:, 2]),
        (q[:, 0], q[:, 1], q[:, 2]),
    )
    fine_uv = np.stack([np.stack(three, 1) for three in corners], 1)
    return fine.reshape(-1, 3).astype(np.int32), fine_uv.reshape(-1, 3, 2)


def unshrunk(matrix: csr_matrix) -> csr_matrix:
    """The subdivision after a first-order correction that keeps old vertices near where they were.

    Plain subdivision rounds thin parts away: closed lips would part and lids sink behind
    the eyeball. Pushing the coarse vertices outward by what they would lose mends that.
    """
    n_coarse = matrix.shape[1]
    lost = csr_matrix(identity(n_coarse)) - csr_matrix(matrix[:n_coarse])  # pyright: ignore[reportOptionalSubscript]
    return csr_matrix(matrix + matrix @ lost)
