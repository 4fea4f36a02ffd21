"""Procedural teeth and gums for the built-in head, one rounded body per tooth along a dental arch.

MakeHuman's own teeth are two plain bands that sit far behind the lips. Here they only say
how the jaws move: each new row follows the best affine fit of its band's displacement.
Crown sizes are rounded from the averages in Wheeler's Dental Anatomy (Nelson, 2014, table 1-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int32

UPPER_WIDTHS = (8.5, 6.6, 7.6, 7.0, 6.8, 10.0, 9.0)
UPPER_HEIGHTS = (10.5, 9.2, 10.2, 8.6, 8.2, 7.4, 7.0)
LOWER_WIDTHS = (5.3, 5.8, 6.8, 7.0, 7.1, 11.0, 10.5)
LOWER_HEIGHTS = (9.0, 9.2, 10.4, 8.6, 8.0, 7.4, 7.0)
DEPTHS = (5.0, 5.0, 6.0, 7.5, 8.0, 10.0, 10.0)
"""Crown sizes in millimetres from the midline outwards: along the arch, up and down, in and out."""

AROUND, ALONG = 12, 8
SQUARENESS = 0.45


@dataclass(frozen=True)
class TeethRow:
    """One jaw's teeth and gum in template space (metres); the first ``n_teeth`` vertices are enamel, the rest gum."""

    vertices: Float64[np.ndarray, "v 3"]
    triangles: Int32[np.ndarray, "t 3"]
    n_teeth: int


def make_row(*, upper: bool, edge: Float[np.ndarray, "3"], arch_width: float) -> TeethRow:
    """Build one row of fourteen teeth and its gum.

    Args:
        upper: the upper row, else the lower one.
        edge: where the biting edge of the front teeth meets the midline, at their front face.
        arch_width: outer width of the arch at the last teeth, metres.
    """
    widths = np.array(UPPER_WIDTHS if upper else LOWER_WIDTHS) / 1000
    heights = np.array(UPPER_HEIGHTS if upper else LOWER_HEIGHTS) / 1000
    curve, length = _arch(arch_width, widths.sum())
    up = -1.0 if upper else 1.0
    vertices: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    starts = np.concatenate([[0], np.cumsum(widths)])
    for side in (-1, 1):
        for tooth, (width, height) in enumerate(zip(widths, heights, strict=True)):
            place, outward = _on_arch(curve, length, starts[tooth] + width / 2)
            depth = DEPTHS[tooth] / 1000
            body = _tooth(width, height, depth, narrow=0.22 if tooth < 3 else 0.1)
            # Canines reach a little beyond the incisors, molars a little less far.
            beyond = (0.0, -0.6, 0.3, -0.4, -0.6, -0.8, -1.0)[tooth] / 1000
            along = np.array([-outward[1], 0.0, outward[0]])
            out = np.array([outward[0], 0.0, outward[1]])
            local = body[:, :1] * along + body[:, 1:2] * [0, up, 0] + (body[:, 2:] - depth / 2) * out
            spot = local + [place[0], up * (height / 2 - beyond), place[1]]
            faces = _ellipsoid_triangles() + sum(len(part) for part in vertices)
            mirrored = (side < 0) != (not upper)
            vertices.append(spot * [side, 1, 1] + edge)
            triangles.append(faces[:, ::-1] if mirrored else faces)
    n_teeth = sum(len(part) for part in vertices)
    gum, gum_triangles = _gum(curve, length, up, float(heights[0]), edge)
    vertices.append(gum)
    triangles.append((gum_triangles if upper else gum_triangles[:, ::-1]) + n_teeth)
    return TeethRow(np.concatenate(vertices), np.concatenate(triangles).astype(np.int32), n_teeth)


def _arch(width: float, length: float) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, "n"]]:
    """The right half of the arch (x, z), from the midline's front backwards, and the arc length at its points.

    A half ellipse whose depth is chosen so that the half arch has the given length.
    """
    angle = np.linspace(0, np.pi / 2, 200)
    low, high = 0.2 * length, 1.5 * length
    for _ in range(50):
        depth = (low + high) / 2
        curve = np.stack([width / 2 * np.sin(angle), depth * (1 - np.cos(angle))], 1)
        steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
        low, high = (depth, high) if steps[-1] < length else (low, depth)
    return curve, steps


def _on_arch(curve: np.ndarray, length: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """Point and outward unit normal (x, z) of the arch at an arc length."""
    place = np.array([np.interp(at, length, curve[:, k]) for k in range(2)])
    ahead = np.array([np.interp(at + 5e-4, length, curve[:, k]) for k in range(2)])
    behind = np.array([np.interp(at - 5e-4, length, curve[:, k]) for k in range(2)])
    tangent = (ahead - behind) / max(float(np.linalg.norm(ahead - behind)), 1e-12)
    return place, np.array([tangent[1], -tangent[0]])


def _tooth(width: float, height: float, depth: float, narrow: float) -> Float64[np.ndarray, "v 3"]:
    """A superellipsoid (along, towards the gum, outward), narrower at the gum and thin at the biting edge."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, ALONG)[1:-1]
    longitude = np.arange(AROUND) * 2 * np.pi / AROUND

    def power(value: np.ndarray | np.float64) -> np.ndarray | np.float64:
        return np.sign(value) * np.abs(value) ** SQUARENESS

    ring = np.stack([power(np.cos(longitude)), power(np.sin(longitude))], 1)
    points = [np.array([[0.0, -1.0, 0.0]])]
    points += [np.c_[ring[:, 0] * power(np.cos(v)), np.full(AROUND, power(np.sin(v))), ring[:, 1] * power(np.cos(v))]
               for v in latitude]  # fmt: skip
    unit = np.concatenate([*points, np.array([[0.0, 1.0, 0.0]])])
    towards_gum = (unit[:, 1] + 1) / 2
    unit[:, 0] *= 1 - narrow * towards_gum**1.5
    unit[:, 2] = np.where(unit[:, 2] < 0, unit[:, 2] * (0.3 + 0.7 * towards_gum), unit[:, 2])
    return unit * [width * 0.497, height / 2, depth / 2]


def _ellipsoid_triangles() -> Int32[np.ndarray, "t 3"]:
    here = np.arange(AROUND)
    following = (here + 1) % AROUND
    rings = ALONG - 2
    last = 1 + rings * AROUND
    parts = [np.stack([np.zeros_like(here), 1 + here, 1 + following], 1)]
    for ring in range(rings - 1):
        lower, upper = 1 + ring * AROUND, 1 + (ring + 1) * AROUND
        parts.append(np.stack([lower + here, upper + here, upper + following], 1))
        parts.append(np.stack([lower + here, upper + following, lower + following], 1))
    parts.append(np.stack([last - AROUND + here, np.full_like(here, last), last - AROUND + following], 1))
    return np.concatenate(parts).astype(np.int32)


def _gum(
    curve: np.ndarray, length: np.ndarray, up: float, height: float, edge: np.ndarray
) -> tuple[Float64[np.ndarray, "v 3"], Int32[np.ndarray, "t 3"]]:
    """A tube of gum behind the necks of the teeth, with a scalloped margin."""
    n_along, n_around = 85, 10
    at = np.linspace(-length[-1], length[-1], n_along)
    turn = np.arange(n_around) * 2 * np.pi / n_around
    rings = []
    for position in at:
        place, outward = _on_arch(curve, length, abs(position))
        sign = -1.0 if position < 0 else 1.0
        centre = np.array([sign * place[0], up * (height * 0.80 + 0.0035), place[1]])
        out = np.array([sign * outward[0], 0, outward[1]])
        rings.append(
            centre
            - 0.0045 * out
            + np.cos(turn)[:, None] * 0.0052 * out
            + np.sin(turn)[:, None] * np.array([0, 0.0058 * up, 0])
        )
    grid = np.arange(n_along * n_around).reshape(n_along, n_around)
    a, b = grid[:-1], grid[1:]
    quads = np.stack([a, b, np.roll(b, -1, 1), np.roll(a, -1, 1)], -1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return np.concatenate(rings) + edge, triangles.astype(np.int32)


def affine_displacement(
    band: Float[np.ndarray, "n 3"], displacement: Float[np.ndarray, "k n 3"], points: Float[np.ndarray, "v 3"]
) -> Float64[np.ndarray, "k v 3"]:
    """Displacements at new points by the least-squares affine fit of a band's displacements."""
    centre = band.mean(0)
    design = np.c_[band - centre, np.ones(len(band))]
    solution = np.linalg.lstsq(design, displacement.transpose(1, 0, 2).reshape(len(band), -1), rcond=None)[0]
    moved = np.c_[points - centre, np.ones(len(points))] @ solution
    return moved.reshape(len(points), -1, 3).transpose(1, 0, 2)
