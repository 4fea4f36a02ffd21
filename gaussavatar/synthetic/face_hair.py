"""Brows and lashes: short ribbons whose points are bound to the moving skin."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int32
from scipy.sparse import csr_matrix, vstack

from gaussavatar.mesh.surface import closest_points
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.synthetic.hair import Ribbons, make_ribbons

BROW_UPPER = {"right": (107, 66, 105, 63, 70), "left": (336, 296, 334, 293, 300)}
BROW_LOWER = {"right": (55, 65, 52, 53, 46), "left": (285, 295, 282, 283, 276)}
"""Landmarks of the brows' edges, from the nose outwards."""

BROW_HAIRS = 300
LASH_HAIRS = {"upper": 70, "lower": 34}
UV_SCALE = 16_000


def brow_ribbons(landmarks: Float[np.ndarray, "478 3"], random: np.random.Generator) -> Ribbons:
    """Brow hairs over the rest pose: upright at the nose, then sweeping outwards."""
    paths = []
    for side, sign in (("right", -1.0), ("left", 1.0)):
        upper, lower = landmarks[list(BROW_UPPER[side])], landmarks[list(BROW_LOWER[side])]
        u = random.uniform(0, 1, BROW_HAIRS) ** 0.9 * 0.97
        v = random.triangular(-0.15, 0.5, 1.0, BROW_HAIRS)
        v = 0.5 + (v - 0.5) * np.interp(u, [0, 0.1, 0.6, 1], [0.7, 1.0, 0.85, 0.3])
        at = u * 4
        low, high = (
            np.stack([np.interp(at, np.arange(5), edge[:, k]) for k in range(3)], 1) for edge in (lower, upper)
        )
        roots = low + v[:, None] * (high - low) + [0, 0.0006, 0]
        turn = np.interp(u, [0, 0.25, 0.6, 1], [75, 45, 22, 12]) + random.normal(0, 9, BROW_HAIRS)
        turn -= np.interp(u, [0, 0.5, 1], [0, 6, 30]) + 25 * (v - 0.3) * (u > 0.2)
        angle = np.radians(turn)
        direction = np.stack([sign * np.cos(angle), -np.sin(angle), 0.25 * u], 1)
        length = np.interp(u, [0, 0.3, 1], [0.0055, 0.0080, 0.0060]) * random.uniform(0.75, 1.15, BROW_HAIRS)
        steps = np.linspace(0, 1, 4)[None, :, None]
        bend = np.array([0, 0.0012, 0]) * steps**2
        paths.append(roots[:, None] + steps * length[:, None, None] * direction[:, None] + bend)
    count = 2 * BROW_HAIRS
    shade = np.clip(random.normal(1, 0.2, count), 0.5, 1.5)
    return make_ribbons(np.concatenate(paths), np.full(count, 0.00019), shade, np.array([0, 0, 0.06]), taper=0.8)


def bind_to_skin(
    ribbons: Ribbons, vertices: Float[np.ndarray, "v 3"], triangles: Int32[np.ndarray, "t 3"]
) -> tuple[csr_matrix, Float[np.ndarray, "n"]]:
    """Binding of ribbons that lie on the skin: matrix from skin vertices, and distance along the normal."""
    bound = closest_points(ribbons.vertices, vertices, triangles).matrix(triangles, len(vertices))
    return bound, 0.0003 + 0.0009 * ribbons.along


def lash_binding(
    cards: Int32[np.ndarray, "t 3"], corner_uv: Float[np.ndarray, "t 3 2"], n_vertices: int, random: np.random.Generator
) -> tuple[csr_matrix, Int32[np.ndarray, "s 3"], Float[np.ndarray, "n"]]:
    """Lashes drawn as single hairs on MakeHuman's lash cards, which move with the lids.

    Returns the matrix from head vertices to ribbon vertices, the ribbons' triangles, and
    how far along its hair each vertex lies.
    """
    matrices, triangles, along = [], [], []
    start = 0
    for card, upper in _cards(cards, corner_uv, n_vertices):
        matrix, count = _card_hairs(cards[card], corner_uv[card], n_vertices, upper, random)
        index = start + np.arange(2 * 4 * count).reshape(count, 4, 2)
        a, b, c, d = index[:, :-1, 0], index[:, :-1, 1], index[:, 1:, 1], index[:, 1:, 0]
        triangles.append(np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(-1, 3))
        along.append(np.tile(np.repeat(np.linspace(0, 1, 4), 2), count))
        matrices.append(matrix)
        start += 2 * 4 * count
    return csr_matrix(vstack(matrices)), np.concatenate(triangles).astype(np.int32), np.concatenate(along)


def _cards(cards: np.ndarray, corner_uv: np.ndarray, n_vertices: int) -> list[tuple[np.ndarray, bool]]:
    """The connected pieces of the lash cards, as masks of triangles, and whether each is an upper one."""
    from scipy.sparse.csgraph import connected_components

    pairs = np.concatenate([cards[:, [0, 1]], cards[:, [1, 2]]])
    graph = csr_matrix((np.ones(len(pairs)), pairs.T), (n_vertices, n_vertices))
    _, label = connected_components(graph, directed=False)
    pieces = [label[cards[:, 0]] == piece for piece in np.unique(label[cards[:, 0]])]
    return [(piece, bool(corner_uv[piece][..., 1].mean() > 0.043)) for piece in pieces]


def _card_hairs(
    cards: np.ndarray, corner_uv: np.ndarray, n_vertices: int, upper: bool, random: np.random.Generator
) -> tuple[csr_matrix, int]:
    """Hairs of one card, laid out in its texture space where they run along v."""
    low, high = corner_uv.reshape(-1, 2).min(0), corner_uv.reshape(-1, 2).max(0)
    width, height = np.ceil((high - low) * UV_SCALE).astype(int) + 1
    flat = np.concatenate([(corner_uv.reshape(-1, 2) - low) * UV_SCALE, np.ones((3 * len(cards), 1))], 1)
    raster = rasterize_mesh(flat, np.arange(3 * len(cards)).reshape(-1, 3), np.eye(3), int(width), int(height))
    covered = raster.triangle_index >= 0
    columns = np.flatnonzero(covered.sum(0) > 0.3 * covered.sum(0).max())
    count = LASH_HAIRS["upper" if upper else "lower"]
    chosen = np.sort(random.uniform(columns[0] + 2, columns[-1] - 2, count))
    slant = (chosen - columns.mean()) / np.ptp(columns) * 0.35 * height
    half_width, rows, values, targets = 0.0038 * width, [], [], []
    vertex = 0
    for column, lean in zip(chosen, slant, strict=True):
        run = np.flatnonzero(covered[:, int(column)])
        # Upper lashes are rooted at the large end of v (down in the picture), lower ones at the small end.
        root, tip = (run[-1], run[0]) if upper else (run[0], run[-1])
        reach = random.uniform(0.55, 0.95) * (0.9 if upper else 0.6)
        for along in np.linspace(0, 1, 4):
            row = int(round(root + (tip - root) * reach * along))
            for side in (-1, 1):
                at = column + lean * along * reach + side * half_width * (1 - 0.85 * along)
                at = int(np.clip(round(at), 0, width - 1))
                line = np.flatnonzero(covered[row])
                at = int(line[np.abs(line - at).argmin()])
                corners = cards[raster.triangle_index[row, at]]
                rows += [vertex] * 3
                targets += corners.tolist()
                values += raster.barycentrics[row, at].tolist()
                vertex += 1
    return csr_matrix((values, (rows, targets)), (vertex, n_vertices)), count
