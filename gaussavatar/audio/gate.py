"""A gate that closes the mouth where nobody speaks.

It reads the same normalised windows as the encoder and keeps no state, so it is the
same for a file and for a stream and needs no look-ahead of its own. The noise floor is
not tracked here: the normalisation, whole-file or running, has already done that.
How loud a feature frame is, is for the feature to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class GateConfig:
    """When the mouth counts as silent.

    Attributes:
        threshold: level of the normalised features at which the gate is half open; log-mel's is its mean over the
            bands, pauses lie around -1.4, speech around +0.4.
        softness: width of the transition on that scale.
        hold: half width in feature frames (10 ms) of the surroundings in which any
            speech keeps the gate fully open; shorter gaps (stop consonants) never close it.
    """

    threshold: float = -0.9
    softness: float = 0.1
    hold: int = 8


def silence_gate(levels: Float[np.ndarray, "n w"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
    """How far the mouth may follow the sound in each frame, 0 (silence) to 1 (speech).

    Every feature frame of the window votes with its level (smoothed over five frames); a
    vote counts fully within ``hold`` of the middle and fades towards the window's edge,
    which gives the attack and the release their slope; the strongest vote wins.

    Args:
        levels: how loud each feature frame of each video frame's window is.
        config: threshold, softness and hold.
    """
    config = config or GateConfig()
    length = levels.shape[1]
    radius = length // 2
    padded = np.pad(levels, ((0, 0), (2, 2)), mode="edge")
    smooth = np.mean([padded[:, k : k + length] for k in range(5)], axis=0)
    vote = 1.0 / (1.0 + np.exp(-np.clip((smooth - config.threshold) / config.softness, -30.0, 30.0)))
    distance = np.abs(np.arange(length) - radius)
    weight = np.clip((radius + 1 - distance) / (radius + 1 - config.hold), 0.0, 1.0)
    return (vote * weight).max(-1)
