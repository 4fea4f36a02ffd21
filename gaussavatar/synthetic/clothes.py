"""The actor's shirt: the torso's skin pushed outward below a neckline, with a ribbed collar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32
from scipy.interpolate import splev, splprep
from scipy.sparse import csr_matrix, vstack

from gaussavatar.mesh.surface import area_normals, closest_points, vertex_normals

NECKLINE_FRONT, NECKLINE_SLOPE = 0.176, 0.235
"""Height of the neckline (metres below the eyes) where z = 0, and how much it rises towards the back."""

CLOTH_DISTANCE = 0.0045
COLLAR_WIDTH = 0.017
COLLAR_PROFILE = ((-0.02, -0.0035), (-0.05, 0.0030), (0.10, 0.0072), (0.45, 0.0084), (0.80, 0.0078), (1.02, 0.0050))
"""Cross section of the collar: share of its width below the neckline, and distance from the skin in metres."""


@dataclass(frozen=True)
class Shirt:
    """Cloth bound to the skin: vertex i is ``matrix[i] @ skin + distance[i] * normal``."""

    matrix: csr_matrix
    distance: Float64[np.ndarray, "n"]
    triangles: Int32[np.ndarray, "t 3"]
    collar: Bool[np.ndarray, "n"]
    covered: Bool[np.ndarray, "s"]


def below_neckline(points: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b"]:
    """Metres by which points of the rest pose lie below the neckline's plane (negative: above it)."""
    return points[..., 1] - (NECKLINE_FRONT - NECKLINE_SLOPE * points[..., 2])


def make_shirt(
    vertices: Float[np.ndarray, "v 3"], triangles: Int32[np.ndarray, "t 3"], torso: Bool[np.ndarray, "v"]
) -> Shirt:
    """Cut the shirt out of the skin's mesh at rest.

    Args:
        vertices: skin at rest.
        triangles: skin triangles.
        torso: vertices that the shirt may cover.
    """
    below = np.where(torso, below_neckline(vertices), -1.0)
    cloth, cut_edges = _clip(triangles, below)
    n_vertices = len(vertices)
    share = below[cut_edges[:, 0]] / (below[cut_edges[:, 0]] - below[cut_edges[:, 1]])
    rows = np.repeat(np.arange(len(cut_edges)), 2)
    cut = csr_matrix((np.stack([1 - share, share], 1).ravel(), (rows, cut_edges.ravel())), (len(cut_edges), n_vertices))
    used, local = np.unique(cloth, return_inverse=True)
    plain = used[used < n_vertices]
    pick = csr_matrix((np.ones(len(plain)), (np.arange(len(plain)), plain)), (len(plain), n_vertices))
    cut_rows = csr_matrix(cut)[used[used >= n_vertices] - n_vertices]  # pyright: ignore[reportOptionalSubscript]
    matrix = csr_matrix(vstack([pick, cut_rows]))
    collar_matrix, collar_distance, collar_triangles = _collar(vertices, triangles, cut @ vertices)
    n_cloth = matrix.shape[0]
    rest = matrix @ vertices
    distance = CLOTH_DISTANCE + 0.0022 * _folds(rest)
    covered = (below > 0.006)[triangles].all(1)
    return Shirt(
        csr_matrix(vstack([matrix, collar_matrix])),
        np.concatenate([distance, collar_distance]),
        np.concatenate([local.reshape(-1, 3), collar_triangles + n_cloth]).astype(np.int32),
        np.arange(n_cloth + len(collar_distance)) >= n_cloth,
        covered,
    )


def _folds(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """A few soft folds that run from the shoulders down to the middle of the chest, 0..1."""
    x, y = points[:, 0], points[:, 1]
    slanted = np.sin(38 * (np.abs(x) * 1.3 - y * 0.55) + 3 * np.sin(17 * x + 1) + 2 * np.sign(x))
    return (0.5 + 0.5 * slanted) * np.clip((below_neckline(points) - 0.02) / 0.05, 0, 1)


def _clip(
    triangles: Int32[np.ndarray, "t 3"], below: Float[np.ndarray, "v"]
) -> tuple[Int32[np.ndarray, "s 3"], Int32[np.ndarray, "e 2"]]:
    """Keep the part of the triangles where ``below`` is positive.

    Returns triangles whose indices from n_vertices on are new vertices, and the edge of each new vertex.
    """
    inside = below > 0
    count = inside[triangles].sum(1)
    out = [triangles[count == 3]]
    edges: dict[tuple[int, int], int] = {}

    def crossing(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        return edges.setdefault(key, len(below) + len(edges))

    pieces: list[tuple[int, int, int]] = []
    for triangle in triangles[(count == 1) | (count == 2)].tolist():
        lone = inside[triangle].sum() == 1
        turn = next(k for k in range(3) if inside[triangle[k]] == lone)
        a, b, c = (triangle[(turn + k) % 3] for k in range(3))
        ab, ca = crossing(a, b), crossing(c, a)
        pieces += [(a, ab, ca)] if lone else [(ab, b, c), (ab, c, ca)]
    out.append(np.array(pieces, np.int32).reshape(-1, 3))
    return np.concatenate(out).astype(np.int32), np.array(list(edges), np.int32).reshape(-1, 2)


def _collar(
    vertices: np.ndarray, triangles: np.ndarray, rim: Float[np.ndarray, "n 3"]
) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """A ring of cloth along the neckline: bound vertices, their distances, triangles."""
    n_around = 160
    loop = _smooth_loop(rim, n_around)
    normals = vertex_normals(vertices, triangles)
    near = closest_points(loop, vertices, triangles)
    outward = near.matrix(triangles, len(vertices)) @ normals
    ahead = np.roll(loop, -1, 0) - np.roll(loop, 1, 0)
    down = np.cross(outward, ahead)
    down *= np.sign(down[:, 1:2]) / np.linalg.norm(down, axis=1, keepdims=True)
    points = np.stack([loop + share * COLLAR_WIDTH * down for share, _ in COLLAR_PROFILE], 1).reshape(-1, 3)
    bound = closest_points(points, vertices, triangles).matrix(triangles, len(vertices))
    distance = np.tile([height for _, height in COLLAR_PROFILE], n_around)
    grid = np.arange(len(points)).reshape(n_around, -1)
    a, b = grid, np.roll(grid, -1, 0)
    quads = np.stack([a[:, :-1], a[:, 1:], b[:, 1:], b[:, :-1]], -1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    # The loop's direction is arbitrary, so the faces are turned to look away from the skin.
    at = bound @ vertices + distance[:, None] * (bound @ normals)
    flip = (area_normals(at[faces]) * (bound @ normals)[faces[:, 0]]).sum() < 0
    return bound, distance, faces[:, ::-1] if flip else faces


def _smooth_loop(rim: Float[np.ndarray, "n 3"], count: int) -> Float64[np.ndarray, "c 3"]:
    """The neckline's crossing points as a closed, evenly spaced, smooth curve."""
    middle = rim.mean(0)
    order = np.argsort(np.arctan2(rim[:, 0] - middle[0], rim[:, 2] - middle[2]))
    ordered = rim[order]
    apart = np.linalg.norm(ordered - np.roll(ordered, 1, 0), axis=1) > 1e-4
    curve, _ = splprep(np.r_[ordered[apart], ordered[apart][:1]].T, s=2e-5, per=True)
    fine = np.stack(splev(np.linspace(0, 1, 4 * count, endpoint=False), curve), 1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    at = np.linspace(0, length[-1], count, endpoint=False)
    return np.stack([np.interp(at, length, fine[:, k]) for k in range(3)], 1)
