"""A procedural eyeball: a sphere whose rings are finest at the iris, and its place in a head."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int32

IRIS_RADIUS = 0.0059
"""Metres; human irises are 11.7 mm wide with very little variation."""

PUPIL_RADIUS = 0.0019
"""Metres, in room light."""

SEGMENTS = 40


def eyeball_directions(radius: float) -> tuple[Float64[np.ndarray, "v 3"], Int32[np.ndarray, "t 3"]]:
    """Unit directions and outward triangles of a sphere that looks along -z (towards the camera).

    Rings of vertices lie exactly on the pupil's and the iris's edge for a sphere of
    ``radius`` metres, so that colour per vertex paints both crisply.
    """
    pupil, iris = np.arcsin(PUPIL_RADIUS / radius), np.arcsin(IRIS_RADIUS / radius)
    rings = np.concatenate(
        [
            [pupil * 0.5, pupil * 0.97, pupil * 1.03],
            np.linspace(pupil, iris * 0.88, 6)[1:],
            [iris * 0.97, iris * 1.05],
            np.linspace(iris * 1.05, np.pi, 15)[1:-1],
        ]
    )
    turn = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    points = [np.array([[0.0, 0.0, -1.0]])]
    points += [np.c_[circle * np.sin(angle), np.full(SEGMENTS, -np.cos(angle))] for angle in rings]
    points += [np.array([[0.0, 0.0, 1.0]])]
    return np.concatenate(points), _sphere_triangles(len(rings))


def _sphere_triangles(n_rings: int) -> Int32[np.ndarray, "t 3"]:
    here = np.arange(SEGMENTS)
    following = (here + 1) % SEGMENTS
    last = 1 + (n_rings - 1) * SEGMENTS
    parts = [np.stack([np.zeros_like(here), 1 + following, 1 + here], 1)]
    for ring in range(n_rings - 1):
        inner, outer = 1 + ring * SEGMENTS, 1 + (ring + 1) * SEGMENTS
        parts.append(np.stack([inner + here, inner + following, outer + following], 1))
        parts.append(np.stack([inner + here, outer + following, outer + here], 1))
    parts.append(np.stack([last + here, last + following, np.full_like(here, last + SEGMENTS)], 1))
    return np.concatenate(parts).astype(np.int32)


def fit_sphere(points: Float[np.ndarray, "n 3"]) -> tuple[Float64[np.ndarray, "3"], float]:
    """Centre and radius of the sphere through points, by linear least squares."""
    solution = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0]
    return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def eyeball_colour(
    directions: Float[np.ndarray, "v 3"], radius: float, iris: tuple[float, float, float]
) -> Float[np.ndarray, "v 3"]:
    """Colours of an eyeball's vertices: pupil, iris with a dark rim, white that reddens backwards."""
    angle = np.arccos(np.clip(-directions[:, 2], -1, 1))
    pupil, edge = np.arcsin(PUPIL_RADIUS / radius), np.arcsin(IRIS_RADIUS / radius)
    white = np.array([0.88, 0.855, 0.84]) + np.clip((angle - 0.6) / 1.2, 0, 1)[:, None] * [-0.05, -0.22, -0.24]
    within = np.clip((angle - pupil) / (edge - pupil), 0, 1)[:, None]
    turn = np.arctan2(directions[:, 1], directions[:, 0])[:, None]
    fibres = 0.16 * np.sin(11 * turn + 2) * np.sin(7 * turn) + 0.10 * np.sin(23 * turn + 4 * within)
    coloured = np.array(iris) * (1.2 - 0.8 * within**3) * (1 + fibres * np.sin(np.pi * within))
    colour = np.where((angle < edge)[:, None], coloured, white)
    return np.where((angle < pupil)[:, None], 0.015, colour)
