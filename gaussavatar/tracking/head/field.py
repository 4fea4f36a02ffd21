"""Smooth displacement fields over a head's skin: how a few hundred landmarks move thousands of vertices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import SuperLU, splu
from scipy.spatial import cKDTree

from gaussavatar.head.model import HeadModel

_HANDLE_AREA = 6.4e-5
"""Skin in square metres to one of 478 landmarks, on the average."""

_FADE_FROM, _FADE_OVER = 0.012, 0.050
"""The field fades from this distance of the nearest handle on, over that distance, metres."""

_FADE_LENGTH = 0.012
_DEPTH_STIFFNESS = 16.0
"""Depth follows the handles only at twice the wavelength: what the detector says of it is a guess."""

_WELD = 1e-5
_MIN_COTANGENT = 0.02


class SkinField:
    """Extends displacements of landmarks to the vertices of the parts of a head that carry landmarks.

    The field u minimises ``sum_i w_i |B_i u - r_i|^2 + lambda * integral (Laplace u)^2`` and a term that takes it
    to zero away from the handles: a thin plate on the surface itself (Botsch and Sorkine 2008, eq. 4 and 11, with
    the cotangent Laplacian of Meyer et al. 2003), so that upper and lower lip, near in space, are far apart.

    Args:
        head: the head with its embedding; its template is the surface.
        trust: weight of every landmark in the image plane, 0..1.
        depth_trust: its weight along the depth.
        length: below about this wavelength over 2 pi (metres) the field does not follow the handles.
    """

    def __init__(
        self,
        head: HeadModel,
        trust: Float[np.ndarray, "478"],
        depth_trust: Float[np.ndarray, "478"],
        length: float,
    ) -> None:
        assert head.embedding is not None
        self.weld = welded(head.template)
        self.handles = np.flatnonzero(trust > 0.02)
        corners = self.weld[head.triangles[head.embedding.face[self.handles]]]
        part = parts_of(head, self.weld)
        carrying = np.unique(part[corners])
        self.covered = np.isin(part[self.weld], carrying)
        nodes = np.unique(self.weld[self.covered])
        self._row = np.full(len(head.template), -1)
        self._row[nodes] = np.arange(len(nodes))
        places = np.asarray(head.template[nodes], np.float64)
        faces = self._row[self.weld[head.triangles[self.covered[head.triangles].all(1)]]]
        faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
        stiffness, areas = cotangent_laplacian(places, faces)
        rows = np.repeat(np.arange(len(self.handles)), 3)
        weights = head.embedding.barycentrics[self.handles].ravel().astype(np.float64)
        self._B = csr_matrix((weights, (rows, self._row[corners].ravel())), (len(self.handles), len(nodes)))
        away, _ = cKDTree(self._B @ places).query(places)
        fade = np.clip((away - _FADE_FROM) / _FADE_OVER, 0, 1) ** 2
        stiff = length**4 / _HANDLE_AREA
        bending = stiffness.T @ diags(1 / areas) @ stiffness
        self._smooth = stiff * (bending + diags(areas * (fade / _FADE_LENGTH**4 + 1e-4 / _FADE_LENGTH**4)))
        self.trust, self.depth_trust = trust, depth_trust

    def extend(
        self, moves: Float[np.ndarray, "*k 478 3"], robust: Float[np.ndarray, "478"] | None = None
    ) -> Float[np.ndarray, "*k v 3"]:
        """Displacements of all vertices from those of the landmarks; zero on parts without landmarks."""
        stack = moves.reshape(-1, *moves.shape[-2:])[:, self.handles]
        out = np.zeros((len(stack), len(self.weld), 3))
        covered = self._row[self.weld[self.covered]]
        for axes, trust in (((0, 1), self.trust), ((2,), self.depth_trust)):
            weights = trust[self.handles] * (1.0 if robust is None else robust[self.handles])
            solver = self._factor(weights, _DEPTH_STIFFNESS if axes == (2,) else 1.0)
            right = stack[..., list(axes)].transpose(1, 0, 2).reshape(len(self.handles), -1)
            solved = solver.solve(np.ascontiguousarray(self._B.T @ (weights[:, None] * right)))
            solved = solved.reshape(-1, len(stack), len(axes)).transpose(1, 0, 2)
            out[:, self.covered, axes[0] : axes[-1] + 1] = solved[:, covered]
        return out.reshape(*moves.shape[:-2], len(self.weld), 3)

    def _factor(self, weights: np.ndarray, stiffness: float) -> SuperLU:
        matrix = self._B.T @ diags(weights) @ self._B + stiffness * self._smooth
        return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def welded(vertices: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, "v"]:
    """For every vertex the first one at the same place: parts that only touch are held together by it."""
    pairs = cKDTree(vertices).query_pairs(_WELD, output_type="ndarray")
    n = len(vertices)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (n, n))
    _, label = connected_components(graph, directed=False)
    first = np.full(label.max() + 1, n)
    np.minimum.at(first, label, np.arange(n))
    return first[label]


def parts_of(head: HeadModel, weld: Int[np.ndarray, "v"] | None = None) -> Int[np.ndarray, "v"]:
    """Number of the connected part that every vertex belongs to."""
    faces = head.triangles if weld is None else weld[head.triangles]
    ends = np.concatenate([faces[:, :2], faces[:, 1:]])
    n = len(head.template)
    _, label = connected_components(coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (n, n)), directed=False)
    return label


def cotangent_laplacian(
    places: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "t 3"]
) -> tuple[csr_matrix, Float[np.ndarray, "v"]]:
    """Stiffness matrix with cotangent weights (positive semidefinite) and a third of the triangles' areas."""
    n = len(places)
    rows, columns, values = [], [], []
    areas = np.zeros(n)
    for k in range(3):
        i, j, opposite = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        a, b = places[i] - places[opposite], places[j] - places[opposite]
        doubled = np.linalg.norm(np.cross(a, b), axis=1)
        # Slivers would have huge or negative weights.
        cotangent = np.clip((a * b).sum(1) / np.maximum(doubled, 1e-12), _MIN_COTANGENT, 20.0) / 2
        rows += [i, j, i, j]
        columns += [j, i, i, j]
        values += [-cotangent, -cotangent, cotangent, cotangent]
        np.add.at(areas, i, doubled / 6)
    shape = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(coo_matrix(shape, (n, n))), np.maximum(areas, 1e-9)


def local_linear(
    handles: Float[np.ndarray, "p 3"],
    moves: Float[np.ndarray, "p 3"],
    weights: Float[np.ndarray, "p"],
    at: Float[np.ndarray, "v 3"],
    reach: float,
) -> Float[np.ndarray, "v 3 3"]:
    """How a displacement stretches and turns space around points: linear fits to the handles within ``reach``.

    Gaussian weights of that width, and a ridge that leaves directions alone in which the handles say nothing.
    """
    out = np.empty((len(at), 3, 3))
    squares = np.einsum("pi,pj->pij", handles, handles).reshape(-1, 9)
    products = np.einsum("pi,pj->pij", moves, handles).reshape(-1, 9)
    sums = np.concatenate([np.ones((len(handles), 1)), handles, moves, squares, products], 1) * weights[:, None]
    for first in range(0, len(at), 4096):
        part = slice(first, first + 4096)
        squared = (at[part] ** 2).sum(1)[:, None] + (handles**2).sum(1) - 2 * at[part] @ handles.T
        means = np.exp(-0.5 * squared / reach**2) @ sums
        total = np.maximum(means[:, :1], 1e-9)
        means = means / total
        middle, moved = means[:, 1:4], means[:, 4:7]
        spread = means[:, 7:16].reshape(-1, 3, 3) - middle[:, :, None] * middle[:, None]
        mixed = means[:, 16:].reshape(-1, 3, 3) - moved[:, :, None] * middle[:, None]
        # Far from all handles nothing is known: the fit fades with them.
        known = np.minimum(total[..., None] / 2.0, 1.0)
        slope = mixed @ np.linalg.inv(spread + (0.35 * reach) ** 2 * np.eye(3))
        out[part] = np.eye(3) + known * slope
    return out
