"""How speech is stressed over time: what brows and heads may follow."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter1d, shift

from gaussavatar.audio.energy import frame_power
from gaussavatar.types import VIDEO_FPS, Waveform

WIDTHS = (0.08, 0.2, 0.48)
"""Seconds (standard deviation) over which loudness is averaged: a syllable, a word, a phrase."""
SHIFTS = (-0.32, -0.16, 0.0, 0.16, 0.32)
"""Seconds by which it is looked at later and earlier."""
N_STRESS = len(WIDTHS) * len(SHIFTS)
_FLOOR = 1e-6
"""Power below which nothing counts as quieter still."""


def stress(waveform: Waveform, n_frames: int, fps: float = VIDEO_FPS) -> Float32[np.ndarray, "n_frames f"]:
    """Loudness of the sound against itself, at several widths and shifts; each column of zero mean and unit deviation.

    The sound's own mean and deviation are taken, so that a quiet recording is stressed as a loud one.
    """
    loud = 0.5 * np.log(frame_power(waveform, n_frames, fps).astype(float) + _FLOOR)
    loud = (loud - loud.mean()) / max(float(loud.std()), 1e-3)
    averaged = [gaussian_filter1d(loud, width * fps, mode="mirror") for width in WIDTHS]
    columns = np.stack([shift(a, -by * fps, order=1, mode="mirror") for by in SHIFTS for a in averaged], axis=1)
    columns = columns - columns.mean(axis=0)
    return (columns / np.maximum(columns.std(axis=0), 1e-3)).astype(np.float32)
