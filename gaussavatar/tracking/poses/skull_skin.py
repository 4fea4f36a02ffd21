"""Points of the skin that the skull carries: where a head's rigid motion shows in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from gaussavatar.head.model import HeadModel
from gaussavatar.landmarks.indices import LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE
from gaussavatar.mesh.sampling import draw_triangles, even_barycentrics
from gaussavatar.mesh.surface import area_normals, vertex_normals

SPACING = 0.0026
"""Metres between neighbouring points: about 2000 of them. Half the spacing changed no figure of the benchmark."""

_BROW_MARGIN = 0.006
_TOP, _BOTTOM = 151, 2
_LEAST_FACING = 0.2
_EYE_WIDTH, _EYE_HEIGHT = 1.0, 0.75
"""Half axes of what belongs to an eye, in half distances of its corners."""


@dataclass(frozen=True)
class SkullSkin:
    """Points on the skin in head space: place (metres), unit normal (outward) and two unit tangents."""

    points: Float[np.ndarray, "p 3"]
    normals: Float[np.ndarray, "p 3"]
    tangent_u: Float[np.ndarray, "p 3"]
    tangent_v: Float[np.ndarray, "p 3"]

    def every_other(self, first: int) -> SkullSkin:
        """Half of the points, beginning with the first or the second."""
        return SkullSkin(
            self.points[first::2], self.normals[first::2], self.tangent_u[first::2], self.tangent_v[first::2]
        )

    def packed(self) -> Float32[np.ndarray, "p 12"]:
        """All four side by side, as the native functions take them."""
        return np.concatenate([self.points, self.normals, self.tangent_u, self.tangent_v], 1).astype(np.float32)


def landmark_places(head: HeadModel) -> Float[np.ndarray, "478 3"]:
    """The embedded landmarks on the head at rest.

    Raises:
        ValueError: the head has no landmark embedding.
    """
    if head.embedding is None:
        raise ValueError(f"the head {head.name} has no landmark embedding")
    corners = head.template[head.triangles[head.embedding.face]].astype(np.float64)
    return (corners * head.embedding.barycentrics[..., None]).sum(1)


def skull_skin(head: HeadModel, spacing: float = SPACING) -> SkullSkin:
    """Points on forehead, temples, nose and cheek bones, without brows and eyes and nothing below the nose.

    Evenly spread at random over the rest face, always the same ones. The person's own head gives the depth of nose
    and cheeks, without which a turn and a shift of the head could not be told apart.

    Args:
        head: the person's head, with its landmark embedding.
        spacing: metres between points.
    """
    triangles = head.triangles[_rigid_triangles(head)]
    corners = head.template[triangles].astype(np.float64)
    normals = vertex_normals(head.template, head.triangles)[triangles]
    area = np.linalg.norm(area_normals(corners), axis=1) / 2
    random = np.random.default_rng(0)
    count = max(1, int(area.sum() / spacing**2))
    chosen = draw_triangles(area, count, random)
    weights = even_barycentrics(*random.random((count, 2)).T)[..., None]
    return _with_tangents((weights * corners[chosen]).sum(1), (weights * normals[chosen]).sum(1))


def _with_tangents(points: Float[np.ndarray, "p 3"], normals: Float[np.ndarray, "p 3"]) -> SkullSkin:
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    u = np.cross(normals, [0.0, 1.0, 0.0])
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return SkullSkin(points, normals, u, np.cross(normals, u))


def _rigid_triangles(head: HeadModel) -> Int[np.ndarray, "t"]:
    places = landmark_places(head)
    centre = head.template[head.triangles].astype(np.float64).mean(1)
    facing = -vertex_normals(head.template, head.triangles)[head.triangles].mean(1)[:, 2]
    kept: Bool[np.ndarray, "t"] = head.triangle_region("face") & (facing > _LEAST_FACING)
    kept &= (centre[:, 1] < places[_BOTTOM, 1] + 0.002) & (centre[:, 1] > places[_TOP, 1] - 0.005)
    for ring in (LEFT_EYE, RIGHT_EYE):
        eye = places[list(ring)]
        half = np.ptp(eye[:, 0]) / 2
        offset = (centre - eye.mean(0))[:, :2] / (half * np.array([_EYE_WIDTH, _EYE_HEIGHT]))
        kept &= np.linalg.norm(offset, axis=1) > 1
    brows = places[list(LEFT_BROW + RIGHT_BROW)]
    near = np.linalg.norm(centre[:, None, :2] - brows[None, :, :2], axis=2).min(1)
    return np.flatnonzero(kept & (near > _BROW_MARGIN))
