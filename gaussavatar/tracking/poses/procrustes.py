"""The first guess: a mean face and every frame's pose from MediaPipe's own (near-orthographic) depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gaussavatar.landmarks.indices import (
    CHIN,
    FOREHEAD_TOP,
    LEFT_IRIS,
    LEFT_TRAGION,
    OUTER_EYE_CORNERS,
    RIGHT_IRIS,
    RIGHT_TRAGION,
    RIGID,
)
from gaussavatar.tracking.poses.rotations import nearest_rotation

IPD_METRES = 0.063
"""Distance of the irises' centres that sets the metric scale (the adult mean)."""

_ROUNDS = 6


@dataclass(frozen=True)
class Alignment:
    """A mean face in head space (metres) and every frame's pose under weak perspective.

    A frame's landmark in pixels, origin at the image's middle, is ``scale * R @ x + offset``.
    """

    shape: Float[np.ndarray, "478 3"]
    R: Float[np.ndarray, "n 3 3"]
    scale: Float[np.ndarray, "n"]
    offset: Float[np.ndarray, "n 3"]

    def undo(self, points: Float[np.ndarray, "m 478 3"], frames: Int[np.ndarray, "m"]) -> Float[np.ndarray, "m 478 3"]:
        """Head-space landmarks (metres) of the given frames, pose taken out."""
        moved = (points - self.offset[frames, None]) / self.scale[frames, None, None]
        return moved @ self.R[frames]


def align_frames(points: Float[np.ndarray, "n 478 3"], sample: Int[np.ndarray, "m"]) -> Alignment:
    """Generalised Procrustes over the rigid points (Gower 1975), then head axes and metric scale.

    Args:
        points: Landmarks in pixels with depth, origin at the image's middle.
        sample: Frames that determine the mean face.
    """
    rigid = list(RIGID)
    chosen, every = points[sample], np.arange(len(sample))
    mean = chosen[len(sample) // 2].astype(np.float64)
    for _ in range(_ROUNDS):
        fit = Alignment(mean, *_fit_all(chosen[:, rigid], mean[rigid]))
        mean = _canonical(np.median(fit.undo(chosen, every), axis=0))
    return Alignment(mean, *_fit_all(points[:, rigid], mean[rigid]))


def _fit_all(seen: np.ndarray, model: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    middle, seen_middle = model.mean(0), seen.mean(1, dtype=np.float64)
    model, seen = model - middle, seen - seen_middle[:, None]
    M = np.einsum("npi,pj->nij", seen, model)
    R = nearest_rotation(M)
    scale = np.einsum("nij,nij->n", R, M) / (model**2).sum()
    return R, scale, seen_middle - scale[:, None] * (R @ middle)


def _canonical(shape: np.ndarray) -> np.ndarray:
    """Move a mean face into head space: see :func:`head_axes`, scaled to the interpupillary distance."""
    origin, axes = head_axes(shape)
    moved = (shape - origin) @ axes.T
    return moved * (IPD_METRES / np.linalg.norm(moved[LEFT_IRIS[0]] - moved[RIGHT_IRIS[0]]))


def head_axes(shape: Float[np.ndarray, "478 3"]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """Origin and axes (rows) of head space on a face.

    The origin lies midway between the points in front of the ears (234, 454); x runs from the outer corner of
    the right eye to that of the left one, y from the top of the forehead to the chin (made orthogonal to x),
    and z backwards into the head.
    """
    x = shape[OUTER_EYE_CORNERS[1]] - shape[OUTER_EYE_CORNERS[0]]
    x = x / np.linalg.norm(x)
    y = shape[CHIN] - shape[FOREHEAD_TOP]
    y = y - x * (x @ y)
    y = y / np.linalg.norm(y)
    return (shape[RIGHT_TRAGION] + shape[LEFT_TRAGION]) / 2, np.stack([x, y, np.cross(x, y)])
