"""A gate that closes the mouth where nobody speaks.

It reads the same normalised windows as the encoder and keeps no state, so it is the
same for a file and for a stream and needs no look-ahead of its own. The noise floor is
not tracked here: the normalisation, whole-file or running, has already done that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.audio.mel import WINDOW_RADIUS


@dataclass(frozen=True)
class GateConfig:
    """When the mouth counts as silent.

    Attributes:
        threshold: mean normalised log-mel over the bands at which the gate is half open.
            Pauses lie around -1.4, speech around +0.4.
        softness: width of the transition on that scale.
        hold: half width in feature frames (10 ms) of the surroundings in which any
            speech keeps the gate fully open; shorter gaps (stop consonants) never close it.
    """

    threshold: float = -0.9
    softness: float = 0.1
    hold: int = 8


def silence_gate(windows: Float32[np.ndarray, "n 33 40"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
    """How far the mouth may follow the sound in each frame, 0 (silence) to 1 (speech).

    Every feature frame of the window votes with its loudness (smoothed over 50 ms); a
    vote counts fully within ``hold`` of the middle and fades towards the window's edge,
    which gives the attack and the release their slope; the strongest vote wins.
    """
    config = config or GateConfig()
    score = windows.mean(-1)
    padded = np.pad(score, ((0, 0), (2, 2)), mode="edge")
    smooth = np.mean([padded[:, k : k + score.shape[1]] for k in range(5)], axis=0)
    vote = 1.0 / (1.0 + np.exp(-np.clip((smooth - config.threshold) / config.softness, -30.0, 30.0)))
    distance = np.abs(np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1))
    weight = np.clip((WINDOW_RADIUS + 1 - distance) / (WINDOW_RADIUS + 1 - config.hold), 0.0, 1.0)
    return (vote * weight).max(-1)
