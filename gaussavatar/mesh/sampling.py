"""Random points on triangle meshes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def draw_triangles(chance: Float[np.ndarray, "t"], count: int, random: np.random.Generator) -> Int[np.ndarray, "count"]:
    """Draw ``count`` triangles, each as often as its ``chance`` has a share in the sum of all."""
    return random.choice(len(chance), count, p=chance / chance.sum())


def even_barycentrics(u: Float[np.ndarray, "n"], v: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """Barycentric weights that are even over a triangle, from two even numbers in 0..1 each.

    What falls beyond the diagonal of the unit square is turned about its centre into the triangle below.
    """
    beyond = u + v > 1
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    return np.stack([1 - u - v, u, v], 1)
