"""What the audio encoder learns to predict: the mouth part of a clip's motion."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.landmarks.indices import LIPS_INNER, LIPS_OUTER
from gaussavatar.types import FaceMotion

CLOSED_SHARE = 0.08
"""Share of a clip's frames, those with the smallest lip aperture, whose mean is the closed mouth."""


def audio_targets(motion: FaceMotion) -> Float32[np.ndarray, "n m_plus_2"]:
    """Mouth codes, then aperture, then width, of every frame."""
    columns = [motion.mouth_codes, motion.aperture[:, None], motion.width[:, None]]
    return np.concatenate(columns, 1).astype(np.float32)


def closed_target(motion: FaceMotion) -> Float32[np.ndarray, "m_plus_2"]:
    """The targets of this person's closed mouth."""
    return closed_mean(audio_targets(motion), motion.aperture)


def closed_mean(values: Float[np.ndarray, "n d"], aperture: Float[np.ndarray, "n"]) -> Float[np.ndarray, "d"]:
    """Values of the closed mouth: the mean over :data:`CLOSED_SHARE` of the frames, three or more."""
    order = np.argsort(aperture)
    return values[order[: max(3, int(len(order) * CLOSED_SHARE))]].mean(axis=0)


def lip_displacement(motion: FaceMotion) -> Float32[np.ndarray, "m"]:
    """How far a unit of each mouth code moves the lip points, root mean square in metres, their mean taken out.

    Codes that move no landmark (those of the mouth's looks) count as the median of the others.
    """
    lips = motion.mouth_basis[:, [*LIPS_OUTER, *LIPS_INNER]]
    moved = lips - lips.mean(1, keepdims=True)
    size = np.sqrt(np.square(moved).sum(-1).mean(1))
    moves = size > 1e-9
    if moves.any():
        size[~moves] = np.median(size[moves])
    return size.astype(np.float32)
