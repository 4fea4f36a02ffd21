"""How freely the head may accelerate, frame by frame: calm stretches are held still, nods are let go, cuts are cut."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import uniform_filter1d
from scipy.signal import savgol_filter

from gaussavatar.tracking.poses.rotations import log_rotation, nearest_rotation

_WINDOW, _ORDER = 9, 3
_SPREAD = 11
_JUMP_METRES, _JUMP_FACTOR = 0.008, 5.0
_FACE = np.array([[0.0, -0.06, -0.06], [-0.05, 0.0, -0.05], [0.05, 0.0, -0.05], [0.0, 0.0, -0.1], [0.0, 0.06, -0.06]])
"""Points spread over a face, head space, metres."""


def find_jumps(R: Float[np.ndarray, "n 3 3"], t: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, "j"]:
    """Frames where the head is suddenly elsewhere: cuts within the clip.

    Frame i counts when the face moves across the picture by more than 8 mm from i - 1 to i and by more than five
    times the steps before and after. (A dropped frame doubles or trebles a step; that is no cut.)
    """
    if len(t) < 4:
        return np.zeros(0, int)
    places = (_FACE @ R.swapaxes(1, 2) + t[:, None])[..., :2].astype(np.float64)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=2).mean(1)
    padded = np.pad(steps, 1)
    beside = np.maximum(padded[:-2], padded[2:])
    return np.flatnonzero((steps > _JUMP_METRES) & (steps > _JUMP_FACTOR * beside)) + 1


def acceleration_weights(
    R: Float[np.ndarray, "n 3 3"], t: Float[np.ndarray, "n 3"], sigmas: Float[np.ndarray, "6"], window: int = _WINDOW
) -> Float[np.ndarray, "m 6"]:
    """Weight of every second difference of the pose in the prior, 0..1, for frames i, i + 1, i + 2 in row i.

    1 where the head's smoothed acceleration stays within ``sigmas`` (rotation, translation; per frame^2), less
    where the head truly moves faster, so that the prior never costs more than noise would; 0 across cuts. The
    weights come from single-frame poses, once: weights that depended on the fit would feed on themselves.

    Args:
        R: First poses, noisy but not smoothed.
        t: Their translations.
        sigmas: Standard deviations of the prior, radians and metres.
        window: Frames over which the acceleration is smoothed; shorter where the poses are less noisy.
    """
    n = len(t)
    if n < 3:
        return np.ones((0, 6))
    weights = np.ones((n - 2, 6))
    bounds = [0, *find_jumps(R, t).tolist(), n]
    vectors = np.concatenate([log_rotation(R @ nearest_rotation(R.mean(0)).T), t], 1)
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        if last - first >= window:
            acceleration = savgol_filter(vectors[first:last], window, _ORDER, deriv=2, axis=0)[1:-1] / sigmas
            energy = uniform_filter1d(acceleration**2, _SPREAD, axis=0, mode="nearest")
            groups = [energy[:, :3].max(1)] * 3 + [energy[:, 3:5].max(1)] * 2 + [energy[:, 5]]
            weights[first : last - 2] = 1.0 / np.maximum(1.0, np.stack(groups, 1))
        if last < n:
            weights[max(0, last - 2) : last] = 0.0
    return weights
