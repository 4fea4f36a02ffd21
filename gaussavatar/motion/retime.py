"""Values between frames, and soft ways to keyframes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.easing import smoothstep
from gaussavatar.motion.poses import between_poses


def positions_at(n: int, n_new: int, rate: float) -> Float[np.ndarray, "k"]:
    """Where the middles of new frames lie among the ``n`` old ones; ``rate`` is old frames per new frame."""
    return np.clip((np.arange(n_new) + 0.5) * rate - 0.5, 0, n - 1)


def interpolated(values: Float[np.ndarray, "n c"], positions: Float[np.ndarray, "k"]) -> Float32[np.ndarray, "k c"]:
    """Values at positions between frames, on the monotone cubics of Fritsch and Carlson (1980).

    They go no further than the frames on both sides: a lid never shuts more than it did, and lips never cross.
    """
    if len(values) == 1 or values.shape[1] == 0:
        return np.repeat(values[:1], len(positions), axis=0).astype(np.float32)
    # It takes as long to import as the rest of this room.
    from scipy.interpolate import PchipInterpolator

    return PchipInterpolator(np.arange(len(values)), values.astype(float), axis=0)(positions).astype(np.float32)


def interpolated_poses(
    T: Float[np.ndarray, "n 4 4"], positions: Float[np.ndarray, "k"]
) -> Float32[np.ndarray, "k 4 4"]:
    """Poses at positions between frames."""
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, len(T) - 1)
    made = between_poses(T[before], T[after], positions - before).astype(np.float32)
    whole = positions == before
    made[whole] = T[before[whole]]
    return made


def eased(moments: Float[np.ndarray, "n"], first: float, last: float, ease: float) -> Float[np.ndarray, "n"]:
    """1 between two moments, 0 from ``ease`` seconds outside them, with level ends between."""
    away = np.maximum(np.maximum(first - moments, moments - last), 0)
    # A moment counts for the frame that is nearest to it, however it falls between frames.
    step = moments[1] - moments[0] if len(moments) > 1 else 1.0
    away = np.where(away <= 0.5 * step + 1e-9, 0, away)
    return smoothstep(1 - np.clip(away / max(ease, 1e-9), 0, 1))


def key_curve(
    moments: Float[np.ndarray, "n"], times: Float[np.ndarray, "k"], values: Float[np.ndarray, "k"]
) -> Float[np.ndarray, "n"]:
    """A monotone cubic through values at moments, level before the first and after the last."""
    from scipy.interpolate import PchipInterpolator

    inside = np.clip(moments, times[0], times[-1])
    return np.full(len(moments), values[0]) if len(times) == 1 else PchipInterpolator(times, values)(inside)
