"""The actor's hair as ribbons: scalp hair grown over the skull, brows and lashes bound to the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int32
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from gaussavatar.easing import smoothstep
from gaussavatar.mesh.sampling import draw_triangles, even_barycentrics
from gaussavatar.mesh.surface import area_normals, vertex_normals

SKULL_CENTRE = np.array([0.0, -0.02, 0.075])
HAIRLINE = np.array(
    [(0, 0.069), (14, 0.071), (26, 0.074), (38, 0.064), (50, 0.044), (60, 0.020), (68, -0.002), (76, -0.006),
     (84, 0.012), (92, 0.016), (104, 0.016), (112, 0.004), (120, -0.022), (135, -0.044), (160, -0.056), (180, -0.058)]
)  # fmt: skip
"""Azimuth around the skull (degrees, 0 in front) and height above the eyes of the hair's edge (metres)."""

PART_SIDE = 1.0
"""Hair on top is combed away from the person's left (+1) or right (-1)."""

STRANDS = 12_000
CLUMPS = 700
POINTS = 7


@dataclass(frozen=True)
class Ribbons:
    """Thin strips: points in two columns along each strand.

    ``along`` is 0 at a vertex's root and 1 at its tip, ``tangent`` the direction of growth
    and ``normal`` the outward direction; ``shade`` varies from strand to strand around 1.
    ``shape`` is the number of strands and of points along each.
    """

    vertices: Float[np.ndarray, "v 3"]
    triangles: Int32[np.ndarray, "t 3"]
    along: Float[np.ndarray, "v"]
    tangent: Float[np.ndarray, "v 3"]
    normal: Float[np.ndarray, "v 3"]
    shade: Float[np.ndarray, "v"]
    shape: tuple[int, int]


def above_hairline(points: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b"]:
    """Metres by which points of the head lie above the edge of the hair (negative: bare skin)."""
    offset = points - SKULL_CENTRE
    azimuth = np.degrees(np.arctan2(np.abs(offset[..., 0]), -offset[..., 2]))
    return -points[..., 1] - PchipInterpolator(HAIRLINE[:, 0], HAIRLINE[:, 1])(np.clip(azimuth, 0, 180))


def grow_scalp_hair(
    vertices: Float[np.ndarray, "v 3"], triangles: Int32[np.ndarray, "t 3"], random: np.random.Generator
) -> Ribbons:
    """Short hair, combed to one side and back, over the head's skin (rest pose, without ears)."""
    roots, normals = _roots(vertices, triangles, random)
    height = above_hairline(roots)
    azimuth = np.degrees(np.arctan2(np.abs(roots[:, 0]), -(roots[:, 2] - SKULL_CENTRE[2])))
    top = _smooth((-roots[:, 1] - 0.055) / 0.03)
    length = (0.016 + 0.046 * top * _smooth((height + 0.004) / 0.012)) * random.uniform(0.8, 1.15, len(roots))
    length *= 0.65 + 0.35 * _smooth((height - 0.002) / 0.02)
    comb = _comb(roots, azimuth, top, random)
    paths = _follow(roots, normals, comb, length, top, vertices, triangles, random)
    paths = _clump(paths, roots, random)
    shade = np.clip(random.normal(1, 0.17, len(roots)), 0.55, 1.6)
    return make_ribbons(paths, np.full(len(roots), 0.00042), shade, SKULL_CENTRE)


def _smooth(value: np.ndarray) -> np.ndarray:
    return smoothstep(np.clip(value, 0, 1))


def _roots(vertices: np.ndarray, triangles: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random roots on the haired skin, denser where the hair is combed apart, and their normals."""
    corners = vertices[triangles]
    height = above_hairline(corners.mean(1))
    chance = np.linalg.norm(area_normals(corners), axis=1) * (height > -0.012)
    chosen = draw_triangles(chance, STRANDS, random)
    weights = even_barycentrics(*random.random((2, STRANDS)))
    roots = (weights[..., None] * corners[chosen]).sum(1)
    normals = (weights[..., None] * vertex_normals(vertices, triangles)[triangles[chosen]]).sum(1)
    # The edge is ragged: hair thins out over a few millimetres.
    kept = above_hairline(roots) > random.exponential(0.0022, STRANDS) - 0.0012
    return roots[kept], normals[kept] / np.linalg.norm(normals[kept], axis=1, keepdims=True)


def _comb(roots: np.ndarray, azimuth: np.ndarray, top: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Direction in which the hair is combed at each root: across the top from the parting, down at the sides."""
    x = roots[:, 0] * PART_SIDE
    across = np.where(x > 0.032, 1.0, -1.0) * PART_SIDE
    front = 1 - _smooth((roots[:, 2] - 0.01) / 0.09)
    over = np.stack([across * (0.55 + 0.35 * front), -0.35 * front, 0.75 - 0.35 * front], 1)
    down = np.stack([0.05 * np.sign(roots[:, 0]), 0.8 + 0.2 * (azimuth > 120), 0.55 * (azimuth < 130)], 1)
    comb = top[:, None] * over + (1 - top[:, None]) * down
    comb += random.normal(0, 0.10, comb.shape)
    return comb / np.linalg.norm(comb, axis=1, keepdims=True)


def _follow(
    roots: np.ndarray,
    normals: np.ndarray,
    comb: np.ndarray,
    length: np.ndarray,
    top: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    random: np.random.Generator,
) -> Float[np.ndarray, "n p 3"]:
    """Grow every strand step by step: rises at the root, then follows the comb over the skull."""
    surface_normals = vertex_normals(vertices, triangles)
    used = np.unique(triangles)
    tree = cKDTree(vertices[used])
    point, path = roots.copy(), [roots.copy()]
    front = 1 - _smooth((roots[:, 2] + 0.005) / 0.05)
    rise = (0.35 + 0.55 * top + 0.25 * top * front) * random.uniform(0.75, 1.25, len(roots))
    lift = 0.0022 + (0.012 + 0.006 * front) * top * random.uniform(0.35, 1.0, len(roots))
    for step in range(1, POINTS):
        along = step / (POINTS - 1)
        direction = comb - (comb * normals).sum(1, keepdims=True) * normals
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
        direction = direction + (rise * (1 - along) ** 1.2 - 0.10 * along)[:, None] * normals
        direction += np.array([0, 0.18, 0]) * along
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        point = point + direction * (length / (POINTS - 1))[:, None]
        _, near = tree.query(point)
        normals = surface_normals[used[near]]
        clearance = ((point - vertices[used[near]]) * normals).sum(1)
        wanted = lift * np.sqrt(along) * (1 - 0.35 * along)
        point = point + (np.maximum(wanted - clearance, 0) * 0.6 + np.maximum(0.0008 - clearance, 0))[:, None] * normals
        path.append(point.copy())
    return np.stack(path, 1)


def _clump(paths: Float[np.ndarray, "n p 3"], roots: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw the tips of neighbouring strands together into locks."""
    leaders = random.choice(len(paths), min(CLUMPS, len(paths)), replace=False)
    _, own = cKDTree(roots[leaders]).query(roots)
    pull = (np.linspace(0, 1, POINTS) ** 1.6)[None, :, None] * random.uniform(0.25, 0.75, len(leaders))[own][
        :, None, None
    ]
    leader_paths = paths[leaders][own]
    return paths * (1 - pull) + pull * (leader_paths + 0.25 * (paths[:, :1] - leader_paths[:, :1]))


def keep_strands(ribbons: Ribbons, kept: Bool[np.ndarray, "n"]) -> Ribbons:
    """The ribbons of some strands only."""
    n, p = ribbons.shape
    rows = np.repeat(kept, 2 * p)
    new_index = np.cumsum(rows) - 1
    triangles = ribbons.triangles.reshape(n, -1, 3)[kept].reshape(-1, 3)
    return Ribbons(
        ribbons.vertices[rows],
        new_index[triangles].astype(np.int32),
        ribbons.along[rows],
        ribbons.tangent[rows],
        ribbons.normal[rows],
        ribbons.shade[rows],
        (int(kept.sum()), p),
    )


def make_ribbons(
    paths: Float[np.ndarray, "n p 3"],
    half_width: Float[np.ndarray, "n"],
    shade: Float[np.ndarray, "n"],
    centre: Float[np.ndarray, "3"],
    taper: float = 0.75,
) -> Ribbons:
    """Strips of two columns along paths, flat towards the outside as seen from ``centre``."""
    n, p, _ = paths.shape
    tangent = np.gradient(paths, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    outward = paths - centre
    outward = outward - (outward * tangent).sum(2, keepdims=True) * tangent
    outward /= np.maximum(np.linalg.norm(outward, axis=2, keepdims=True), 1e-9)
    side = np.cross(tangent, outward)
    along = np.linspace(0, 1, p)
    width = half_width[:, None, None] * (1 - taper * along**2)[None, :, None]
    vertices = np.stack([paths - width * side, paths + width * side], 2)
    index = np.arange(n * p * 2).reshape(n, p, 2)
    a, b, c, d = index[:, :-1, 0], index[:, :-1, 1], index[:, 1:, 1], index[:, 1:, 0]
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(-1, 3)

    def spread(values: np.ndarray) -> np.ndarray:
        return np.repeat(values.reshape(n * p, -1), 2, axis=0)

    return Ribbons(
        vertices.reshape(-1, 3),
        triangles.astype(np.int32),
        spread(np.broadcast_to(along, (n, p)))[:, 0],
        spread(tangent),
        spread(outward),
        spread(np.broadcast_to(shade[:, None], (n, p)))[:, 0],
        (n, p),
    )
