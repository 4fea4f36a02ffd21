"""Light that reaches the actor's surface at rest: how much sky and how much of the key lamp each vertex sees."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from gaussavatar.mesh.zbuffer import rasterize_mesh

KEY_DIRECTION = np.array([-0.46, -0.41, -0.79])
"""Towards the key lamp in camera space: from the image's upper left, in front."""

FILL_DIRECTION = np.array([0.80, -0.12, -0.58])
RIM_DIRECTION = np.array([0.62, -0.42, 0.66])
DISTANCE = 6.0
PICTURE = 448
COVERED_METRES = 0.80
CENTRE = np.array([0.0, 0.06, 0.05])
"""Middle of head and shoulders at rest, metres."""


def unit(vector: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
    """The vector with length one."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def sphere_directions(count: int) -> Float[np.ndarray, "n 3"]:
    """Evenly spread unit directions (a Fibonacci spiral)."""
    index = np.arange(count) + 0.5
    polar = np.arccos(1 - 2 * index / count)
    turn = np.pi * (1 + 5**0.5) * index
    return np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], 1)


def visibility(
    vertices: Float32[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"],
    triangles: Int32[np.ndarray, "t 3"],
    directions: Float[np.ndarray, "d 3"],
    *,
    tolerance: float = 0.0025,
    threads: int = 1,
) -> Float[np.ndarray, "d v"]:
    """For each direction, how freely each vertex sees that way: 0 hidden, 1 open (a far z-buffer from there)."""
    focal = PICTURE * DISTANCE / COVERED_METRES
    K = np.array([[focal, 0, PICTURE / 2], [0, focal, PICTURE / 2], [0, 0, 1]])
    placed, lifted = vertices - CENTRE, vertices + 0.0008 * normals - CENTRE

    def look(direction: np.ndarray) -> np.ndarray:
        R = _look_along(-direction)
        depth = rasterize_mesh(placed @ R.T + [0, 0, DISTANCE], triangles, K, PICTURE, PICTURE).depth
        x, y, z = np.ascontiguousarray((lifted @ R.T).T)
        z += DISTANCE
        column, row = (np.floor(axis / z * focal + PICTURE / 2).astype(np.int32) for axis in (x, y))
        inside = (column >= 0) & (column < PICTURE) & (row >= 0) & (row < PICTURE)
        front = depth.ravel()[np.where(inside, row * PICTURE + column, 0)]
        hidden = inside & (front > 0) & (z > front + tolerance)
        return (~hidden).astype(np.float32)

    with ThreadPoolExecutor(threads) as pool:
        return np.stack(list(pool.map(look, directions)))


def seen_triangles(
    vertices: Float[np.ndarray, "v 3"], triangles: Int32[np.ndarray, "t 3"], picture: int = 1100, threads: int = 2
) -> Bool[np.ndarray, "t"]:
    """Which triangles can be seen at all from in front, within about 35 degrees to the sides."""
    focal = picture * DISTANCE / COVERED_METRES
    K = np.array([[focal, 0, picture / 2], [0, focal, picture / 2], [0, 0, 1]])
    steps = [(x, y) for y in (-0.4, -0.1, 0.2) for x in (-0.7, -0.4, -0.15, 0.15, 0.4, 0.7)]

    def look(step: tuple[float, float]) -> np.ndarray:
        R = _look_along(np.array([-step[0], -step[1], 1.0]))
        camera = (vertices - CENTRE) @ R.T + [0, 0, DISTANCE]
        index = rasterize_mesh(camera, triangles, K, picture, picture).triangle_index
        return np.bincount(index[index >= 0], minlength=len(triangles)) > 0

    with ThreadPoolExecutor(threads) as pool:
        return np.any(list(pool.map(look, steps)), axis=0)


def _look_along(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """A rotation whose third row is the viewing direction."""
    forward = direction / np.linalg.norm(direction)
    helper = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


@dataclass(frozen=True)
class SeenLight:
    """How much of the sky and of the key lamp each vertex sees, 0..1."""

    sky: Float32[np.ndarray, "v"]
    key: Float32[np.ndarray, "v"]


def bake_light(
    vertices: Float32[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"],
    triangles: Int32[np.ndarray, "t 3"],
    *,
    n_sky: int = 64,
    n_key: int = 20,
    threads: int = 2,
) -> SeenLight:
    """Sky and key visibility of every vertex.

    The sky is weighted by the cosine to the normal and brighter from above; the key lamp
    is a soft box about 40 degrees wide.
    """
    sky = sphere_directions(n_sky)
    around = unit(unit(KEY_DIRECTION) + 0.36 * sphere_directions(n_key))
    seen = visibility(vertices, normals, triangles, np.concatenate([sky, around]), threads=threads)
    cosine = np.clip(sky @ normals.T, 0, None) * (1.0 - 0.35 * sky[:, 1:2])
    ambient = (seen[:n_sky] * cosine).sum(0) / np.maximum(cosine.sum(0), 1e-6)
    return SeenLight(ambient.astype(np.float32), seen[n_sky:].mean(0).astype(np.float32))


def smooth_over_mesh(
    values: Float[np.ndarray, "v"], triangles: Int32[np.ndarray, "t 3"], rounds: int
) -> Float32[np.ndarray, "v"]:
    """Average values with those of their neighbours, several times."""
    n = len(values)
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([pairs, pairs[:, ::-1]])
    count = np.maximum(np.bincount(both[:, 0], minlength=n), 1)
    for _ in range(rounds):
        mean = np.bincount(both[:, 0], values[both[:, 1]], n) / count
        values = np.where(np.bincount(both[:, 0], minlength=n) > 0, 0.5 * values + 0.5 * mean, values)
    return values.astype(np.float32)
