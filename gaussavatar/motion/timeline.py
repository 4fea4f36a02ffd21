"""Which frame of the pose track each output frame takes: back and forth, with soft turns."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

TURN = 12
"""Frames over which the motion slows down before a turning point and speeds up after it."""


def back_and_forth(n_track: int, n_frames: int, start: int = 0) -> Float[np.ndarray, "n"]:
    """Positions in a track of ``n_track`` frames: forth, back, forth; at rest at each turning point.

    Away from the turning points it moves one frame per frame. Near them the speed falls
    to zero along a cosine, so that neither position nor speed jumps.
    """
    if n_track < 5:
        return np.zeros(n_frames)
    turn = min(TURN, (n_track - 1) // 2)
    # During a turn of T frames a half-cosine speed covers T / 2 positions.
    slow = np.cumsum(0.5 * (1 + np.cos(np.pi * (np.arange(2 * turn) + 0.5) / (2 * turn)))) if turn else np.zeros(0)
    straight = np.arange(0, n_track - 2 * turn)
    sweep = np.concatenate([[0.0], turn - slow[::-1], turn + straight, n_track - 1 - turn + slow])
    sweep = np.clip(sweep, 0, n_track - 1)
    period = np.concatenate([sweep, sweep[::-1]])
    first = int(np.argmin(np.abs(sweep - start)))
    return period[(first + np.arange(n_frames)) % len(period)]


def looped_positions(n_source: int, n_frames: int, rate: float) -> Float[np.ndarray, "n"]:
    """Positions in a source, back and forth, for frames that take ``rate`` of its frames each."""
    whole = back_and_forth(n_source, int(np.ceil(n_frames * rate)) + 1)
    return np.interp(np.arange(n_frames) * rate, np.arange(len(whole)), whole)


def nearest(positions: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Whole track frames: pose and torso must come from the same one."""
    return np.round(positions).astype(int)
