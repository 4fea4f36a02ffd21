"""The actor's skin texture, painted by position on the head so that it has no seams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from gaussavatar.easing import smoothstep
from gaussavatar.mesh.zbuffer import interpolate, rasterize_mesh
from gaussavatar.synthetic.hair import above_hairline
from gaussavatar.synthetic.look import ActorLook, to_linear

CHART = (0.630, 0.165, 1.0, 0.875)
"""The head's part of MakeHuman's texture square: left, top, right, bottom."""

TEXELS = 1900
"""Texels along the whole texture square."""

UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))


@dataclass(frozen=True)
class SkinTexture:
    """Linear colour of the head's skin, and its gloss, over the chart of :data:`CHART`: colour 3, gloss 1."""

    texels: Float32[np.ndarray, "h w 4"]


def value_noise(points: Float[np.ndarray, "n 3"], cell: float, seed: int) -> Float[np.ndarray, "n"]:
    """Smooth noise of about -1..1 with features of ``cell`` metres, fixed in space."""
    lattice = np.random.default_rng([seed, 7]).uniform(-1, 1, (32, 32, 32))
    position = points.T / cell
    eased = np.floor(position) + smoothstep(position - np.floor(position))
    return 1.4 * map_coordinates(lattice, eased, order=1, mode="grid-wrap")


def skin_tone(points: Float[np.ndarray, "n 3"], look: ActorLook) -> Float[np.ndarray, "n 3"]:
    """Linear skin colour with soft mottling, for any point of head, neck and torso."""
    base = to_linear(look.skin)
    mottled = 0.045 * value_noise(points, 0.022, look.seed) + 0.03 * value_noise(points, 0.008, look.seed + 1)
    fine = 0.035 * value_noise(points, 0.0024, look.seed + 2) + 0.03 * value_noise(points, 0.0013, look.seed + 3)
    red = 0.05 * value_noise(points, 0.015, look.seed + 4)
    tint = np.stack([1 + 0.3 * red, 1 - red, 1 - 1.2 * red], 1)
    return base * (1 + mottled + fine)[:, None] * tint


def paint_skin(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int32[np.ndarray, "t 3"],
    corner_uv: Float[np.ndarray, "t 3 2"],
    lips: Float[np.ndarray, "v"],
    landmarks: Float[np.ndarray, "478 3"],
    look: ActorLook,
) -> SkinTexture:
    """Paint the head: blush, freckles, lips, lid lines, brow and hair shadows.

    Args:
        vertices: skin at rest.
        triangles: skin triangles.
        corner_uv: their texture coordinates (-1 where a triangle has none).
        lips: how much each vertex belongs to the lips, 0..1.
        landmarks: MediaPipe's landmarks on the skin at rest.
        look: colours.
    """
    position, inside, lip_share = _surface_of_texels(vertices, triangles, corner_uv, lips)
    points = position[inside]
    colour = skin_tone(points, look)
    colour *= _blush(points, landmarks)
    colour = _freckles(colour, points, landmarks, look)
    colour = _hair_shadow(colour, points, landmarks, look)
    gloss = 0.34 + 0.20 * _near(points, landmarks[[4, 9, 151, 50, 280]], 0.016) + 0.08 * value_noise(points, 0.002, 91)
    colour = _lid_lines(colour, points, landmarks, look)
    colour, gloss = _paint_lips(colour, gloss, points, lip_share[inside], landmarks, look)
    full = np.zeros((*inside.shape, 4), np.float32)
    full[inside] = np.c_[np.clip(colour, 0.003, 1), np.clip(gloss, 0, 1.5)]
    # Texels beside the chart take their nearest neighbour's colour, so that seams stay clean.
    _, nearest = distance_transform_edt(~inside, return_indices=True)  # type: ignore[misc]
    return SkinTexture(np.ascontiguousarray(full[tuple(nearest)]))


def _surface_of_texels(
    vertices: np.ndarray, triangles: np.ndarray, corner_uv: np.ndarray, lips: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rest position and lip share of every texel, and which texels lie on the skin."""
    left, top, right, bottom = CHART
    in_chart = ((corner_uv >= [left, top]) & (corner_uv <= [right, bottom])).all((1, 2))
    flat = (corner_uv[in_chart].reshape(-1, 2) - [left, top]) * TEXELS
    corners = np.arange(len(flat), dtype=np.int32).reshape(-1, 3)
    width, height = round((right - left) * TEXELS), round((bottom - top) * TEXELS)
    raster = rasterize_mesh(np.c_[flat, np.ones(len(flat))], corners, np.eye(3), width, height)
    values = interpolate(raster, triangles[in_chart], np.c_[vertices, lips])
    return values[..., :3].astype(np.float64), raster.triangle_index >= 0, values[..., 3]


def _near(points: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """A bump of 1 at any of the centres that fades over ``width`` metres."""
    close = ((points > centres.min(0) - 4 * width) & (points < centres.max(0) + 4 * width)).all(1)
    bump = np.zeros(len(points))
    distance, _ = cKDTree(centres).query(points[close], distance_upper_bound=4 * width)
    bump[close] = np.exp(-0.5 * (distance / width) ** 2)
    return bump


def _blush(points: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Factors that redden cheeks, nose, chin and ears, and darken the lids."""
    red = 0.9 * _near(points, landmarks[[50, 280, 205, 425]], 0.016) + 0.9 * _near(points, landmarks[[4, 1]], 0.009)
    red += 0.35 * _near(points, landmarks[[199]], 0.010) + 0.5 * np.clip((np.abs(points[:, 0]) - 0.066) / 0.01, 0, 1)
    shade = 0.55 * _near(points, landmarks[[159, 386, 158, 385, 160, 387]] + [0, -0.004, 0], 0.006)
    shade += 0.40 * _near(points, landmarks[[145, 374, 153, 380, 133, 362]] + [0, 0.004, 0], 0.006)
    return (1 - np.outer(red, [0.03, 0.20, 0.20])) * (1 - np.outer(shade, [0.16, 0.22, 0.20]))


def _freckles(colour: np.ndarray, points: np.ndarray, landmarks: np.ndarray, look: ActorLook) -> np.ndarray:
    """Small brown spots over cheeks and nose, and three moles."""
    random = np.random.default_rng([look.seed, 5])
    on_face = np.flatnonzero(
        _near(points, landmarks[[50, 280, 5, 117, 346, 36, 266]], 0.02) > random.uniform(size=len(points))
    )
    spots = points[random.choice(on_face, look.freckles, replace=False)]
    moles = landmarks[[207, 337, 371]] + random.normal(0, 0.002, (3, 3))
    size = np.concatenate([random.uniform(0.0005, 0.0010, len(spots)), [0.0012, 0.0010, 0.0010]])
    strength = np.concatenate([random.uniform(0.15, 0.45, len(spots)), [0.75, 0.6, 0.6]])
    distance, which = cKDTree(np.concatenate([spots, moles])).query(points, distance_upper_bound=0.004)
    near = np.isfinite(distance)
    depth = np.zeros(len(points))
    depth[near] = strength[which[near]] * np.exp(-0.5 * (distance[near] / size[which[near]]) ** 2)
    return colour * (1 - np.outer(depth, [0.55, 0.70, 0.78]))


def _hair_shadow(colour: np.ndarray, points: np.ndarray, landmarks: np.ndarray, look: ActorLook) -> np.ndarray:
    """Scalp under the hair in the hair's colour, and a soft shade under the brows' hairs."""
    scalp = np.clip((above_hairline(points) + 0.001 + 0.002 * value_noise(points, 0.004, 17)) / 0.006, 0, 1)
    scalp *= points[:, 1] > -0.2
    mixed = colour * (1 - scalp[:, None]) + scalp[:, None] * to_linear(look.hair) * 0.8
    upper = [107, 66, 105, 63, 70, 336, 296, 334, 293, 300]
    lower = [55, 65, 52, 53, 46, 285, 295, 282, 283, 276]
    middle = (landmarks[upper] + landmarks[lower]) / 2
    line = np.concatenate([_polyline(middle[:5]), _polyline(middle[5:])])
    brow = 0.55 * _near(points, line, 0.0024)[:, None]
    return mixed * (1 - brow) + brow * (0.5 * mixed + 0.5 * to_linear(look.hair))


def _polyline(points: Float[np.ndarray, "n 3"], per_segment: int = 12) -> Float[np.ndarray, "m 3"]:
    at = np.linspace(0, len(points) - 1, per_segment * (len(points) - 1) + 1)
    return np.stack([np.interp(at, np.arange(len(points)), points[:, k]) for k in range(3)], 1)


def _lid_lines(colour: np.ndarray, points: np.ndarray, landmarks: np.ndarray, look: ActorLook) -> np.ndarray:
    """The dark line that the lashes' roots make, and the pink of the lower lid's rim."""
    upper = np.concatenate([_polyline(landmarks[list(lid)]) for lid in UPPER_LIDS])
    lower = np.concatenate([_polyline(landmarks[list(lid)]) for lid in LOWER_LIDS])
    dark = 0.60 * _near(points, upper, 0.0008)[:, None]
    colour = colour * (1 - dark) + dark * to_linear(look.hair) * 0.6
    rim = 0.45 * _near(points, lower, 0.0008)[:, None]
    return colour * (1 - rim * [0.05, 0.35, 0.35])


def _paint_lips(
    colour: np.ndarray, gloss: np.ndarray, points: np.ndarray, share: np.ndarray, landmarks: np.ndarray, look: ActorLook
) -> tuple[np.ndarray, np.ndarray]:
    """Lips in their own colour with fine upright creases and a moist gloss."""
    cover = smoothstep(np.clip((share - 0.42) / 0.3, 0, 1))[:, None] * 0.9
    stretched = points * [1.0, 0.18, 0.3]
    creases = 0.11 * value_noise(stretched, 0.0011, 31) + 0.06 * value_noise(points, 0.003, 32)
    red = to_linear(look.lips) * (1 + creases)[:, None]
    return colour * (1 - cover) + cover * red, gloss * (1 - cover[:, 0]) + cover[:, 0] * (0.75 + creases)
