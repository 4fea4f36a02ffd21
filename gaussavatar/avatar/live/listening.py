"""Listening to the other side: where its phrases end, a listener nods."""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Int16

from gaussavatar.avatar.live.records import FPS

SPOKEN, PAUSE = 0.6, 0.28
"""Seconds of speech, and of the pause after it, that make the end of a phrase."""
APART = 2.4
"""Least seconds between nods."""
CONTRAST = 2.0
"""Natural logarithm of the power by which speech is above the pauses."""
_SHARE = 0.65
"""Of phrase ends that are nodded at."""
_ATTENTIVE = 3.0
"""Seconds after the last speech for which somebody listens."""


class Listening:
    """Phrase ends of a voice, by its loudness in frames; the same sound gives the same nods."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)
        self._rate = 0
        self._floor: float | None = None
        self._spoke = self._paused = 0
        self._since_nod = self._since_speech = 10**6
        self._nods: deque[tuple[float, float]] = deque()
        self._rng = np.random.default_rng(7)

    def push(self, samples: Int16[np.ndarray, "t"], rate: int) -> None:
        """Take the voice as it comes."""
        if rate != self._rate:
            self._rest, self._rate = np.zeros(0, np.int16), rate
        samples = np.concatenate([self._rest, samples])
        size = max(1, rate // FPS)
        whole = len(samples) // size
        self._rest = samples[whole * size :]
        frames = samples[: whole * size].reshape(whole, size).astype(np.float32) / 32768
        for power in np.log((frames**2).mean(axis=1) + 1e-8).tolist():
            self._hear(power)

    @property
    def attentive(self) -> bool:
        """Whether somebody was heard a moment ago."""
        return self._since_speech < _ATTENTIVE * FPS

    def nods(self, speaking: bool) -> list[tuple[float, float]]:
        """Nods to be made now: after how many seconds, and how large. Nobody nods while speaking."""
        self._since_nod += 1
        self._since_speech += 1
        made = [] if speaking else list(self._nods)
        self._nods.clear()
        return made

    def _hear(self, power: float) -> None:
        # The floor follows pauses down at once, and noise that grows up slowly.
        self._floor = power if self._floor is None else min(power, self._floor + 0.02)
        if power > max(self._floor + CONTRAST, -11.0):
            self._spoke, self._paused, self._since_speech = self._spoke + 1, 0, 0
            return
        self._paused += 1
        if self._paused == round(PAUSE * FPS):
            if self._spoke >= SPOKEN * FPS and self._since_nod >= APART * FPS and self._rng.uniform() < _SHARE:
                self._nods.append((float(self._rng.uniform(0.0, 0.2)), float(self._rng.uniform(0.7, 1.2))))
                self._since_nod = 0
            self._spoke = 0
