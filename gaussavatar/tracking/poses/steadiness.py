"""What of a head's motion is faster than a head can move: the part that shakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.signal import butter, sosfiltfilt

from gaussavatar.tracking.poses.rotations import log_rotation
from gaussavatar.tracking.poses.smoothness import find_jumps
from gaussavatar.types import VIDEO_FPS, Tracking

SHAKE_HZ = 6.0
"""Above this frequency a head does not turn by itself: what is left there shakes, or was shaken when it was filmed."""

_JUMP_MARGIN = 6


@dataclass(frozen=True)
class Shaking:
    """Rotation (radians) and translation (metres) above :data:`SHAKE_HZ` of the frames ``used``.

    Stretches around cuts and frames without a fit are left out; ``jumps`` counts the cuts.
    """

    turned: Float[np.ndarray, "m 3"]
    moved: Float[np.ndarray, "m 3"]
    used: Bool[np.ndarray, "n"]
    jumps: int

    @property
    def degrees(self) -> float:
        """Root mean square of the rotation, degrees."""
        return float(np.rad2deg(np.sqrt((self.turned**2).sum(1).mean())))

    @property
    def millimetres(self) -> float:
        """Root mean square of the translation, millimetres."""
        return float(1e3 * np.sqrt((self.moved**2).sum(1).mean()))


def shaking(tracking: Tracking) -> Shaking:
    """The fast part of a tracking's poses."""
    R, t = tracking.R_camera_head.astype(np.float64), tracking.t_camera_head.astype(np.float64)
    jumps = find_jumps(R, t)
    used = tracking.valid.copy()
    for jump in jumps:
        used[max(0, jump - _JUMP_MARGIN) : jump + _JUMP_MARGIN] = False
    steps = log_rotation(R[1:] @ R[:-1].swapaxes(1, 2))
    turns = np.cumsum(np.concatenate([np.zeros((1, 3)), steps]), axis=0)
    return Shaking(fast(turns)[used], fast(t)[used], used, len(jumps))


def fast(values: Float[np.ndarray, "n *d"]) -> Float[np.ndarray, "n *d"]:
    """The part of a signal of every frame that is above :data:`SHAKE_HZ` (Butterworth, without delay)."""
    sections = butter(3, SHAKE_HZ / (VIDEO_FPS / 2), "high", output="sos")
    return sosfiltfilt(sections, values, axis=0)
