"""Whether a person's brows and head follow the stress of their speech, and how: a fit that has to pass a test."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from gaussavatar.audio.stress import stress
from gaussavatar.avatar.accents import BROWS, TURNS, Accents
from gaussavatar.motion.poses import deviations, mean_pose
from gaussavatar.types import VIDEO_FPS, FaceMotion, Tracking, Waveform

N_BLOCKS = 11
_RIDGE = 3.0
"""Against the sum of squares of a stress column: loudness says a little of many things."""
_GAP = VIDEO_FPS
"""Frames on both sides of a held-out block that are not learnt from either."""
_SLOW = 2 * VIDEO_FPS
"""Slower movement (standard deviation of what is taken off, frames) is posture, and no accent."""
_CALM = 2
_STRONGEST = 3.0
"""Deviations beyond which a movement counts no more: one great gesture is no habit."""
_ERRORS = 2.0
"""Standard errors by which the explained variance has to be above 0."""
_LEAST_SECONDS = 12


def fit_accents(motion: FaceMotion, tracking: Tracking, sound: Waveform, used: Bool[np.ndarray, "n"]) -> Accents:
    """Learn what of brows and head follows the sound's stress.

    Each movement is predicted by ridge regression on blocks of the clip that it did not see. One whose error is not
    smaller than that of no movement by :data:`_ERRORS` standard errors over the blocks is left out.

    Args:
        motion: the clip's channels.
        tracking: the clip's poses.
        sound: the clip's sound.
        used: frames to learn from.
    """
    heard = stress(sound, len(used)).astype(float)[used]
    T = np.tile(np.eye(4), (len(used), 1, 1))
    T[:, :3, :3], T[:, :3, 3] = tracking.R_camera_head, tracking.t_camera_head
    head = _quick(deviations(T[used], mean_pose(T[used])))
    brows = _quick(
        np.stack([motion.upper[used][:, motion.upper_names.index(name)] for name in BROWS], axis=1).astype(float)
    )
    moved = np.concatenate([head[:, : len(TURNS)], brows], axis=1)
    weights, share = np.zeros((heard.shape[1], moved.shape[1])), np.zeros(moved.shape[1])
    if len(heard) >= _LEAST_SECONDS * VIDEO_FPS:
        for column in range(moved.shape[1]):
            values = moved[:, column]
            explained, error = explained_by_blocks(heard, values)
            if explained > _ERRORS * error and explained > 0:
                weights[:, column], share[column] = _solved(heard, values), explained
    turned = head[:, : len(TURNS)]
    places = np.linalg.lstsq(turned, head[:, len(TURNS) :], rcond=None)[0]
    coupling = np.concatenate([np.eye(len(TURNS)), places], axis=1)
    return Accents(weights.astype(np.float32), coupling.astype(np.float32), share.astype(np.float32))


def explained_by_blocks(heard: Float[np.ndarray, "n f"], values: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Share of a movement's variance that held-out predictions explain, and its standard error over the blocks."""
    edges = np.linspace(0, len(values), N_BLOCKS + 1).astype(int)
    frames, gains = np.arange(len(values)), []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        learnt = (frames < start - _GAP) | (frames >= stop + _GAP)
        left = values[start:stop]
        errors = left - heard[start:stop] @ _solved(heard[learnt], values[learnt])
        gains.append(float(left @ left - errors @ errors))
    total = max(float(values @ values), 1e-12)
    return sum(gains) / total, float(np.std(gains, ddof=1)) * len(gains) ** 0.5 / total


def _solved(heard: Float[np.ndarray, "n f"], values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "f"]:
    gram = heard.T @ heard + _RIDGE * len(heard) * np.eye(heard.shape[1])
    return np.linalg.solve(gram, heard.T @ values)


def _quick(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Movement without the tracker's noise and without posture, its rare extremes held back."""
    calm = gaussian_filter1d(values, _CALM, axis=0)
    quick = calm - gaussian_filter1d(calm, _SLOW, axis=0)
    limit = _STRONGEST * np.maximum(quick.std(axis=0), 1e-9)
    return np.clip(quick, -limit, limit)
