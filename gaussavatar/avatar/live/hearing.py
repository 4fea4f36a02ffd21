"""From sound that is still coming to mouth codes: what :mod:`gaussavatar.audio.drive` does of a whole sound.

What comes out does not depend on the pieces in which the sound came.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from jaxtyping import Float32

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.drive import DriveConfig, answers_of, spoken
from gaussavatar.audio.encoder import AudioEncoder, heard_by
from gaussavatar.audio.normalise import AudioStatistics, RunningNormaliser
from gaussavatar.types import ANALYSIS_RATE, VIDEO_FPS

PER_FRAME = ANALYSIS_RATE // VIDEO_FPS
VOICE_STEP = 5
"""Frames after which it is asked anew how far the network dares to go under this voice."""
VOICE_MEMORY = 1500
"""Frames of speech that this looks back on: a minute."""


class Hearing:
    """What an avatar hears with, and what it has learnt of the voice so far: it goes on from segment to segment.

    Args:
        encoder: the network.
        closed: codes of the closed mouth.
        drive: gain and gate.
        initial: statistics of features to start with.

    Raises:
        UserError: what the network hears is not installed here, or cannot be had of sound that is still coming.
    """

    def __init__(
        self,
        encoder: AudioEncoder | Blend,
        closed: Float32[np.ndarray, "m"],
        drive: DriveConfig,
        initial: AudioStatistics | None = None,
    ) -> None:
        self.encoder, self.closed, self.drive = encoder, closed, drive
        self.feature = heard_by(encoder.config)
        self.feature.stream()
        self.window = self.feature.facts.window
        self.normaliser = RunningNormaliser(self.feature.statistics, self.window.rate, initial)
        self._voice = (1.0, 0.0)
        self._told: deque[np.ndarray] = deque(maxlen=VOICE_MEMORY)
        self._until = VOICE_STEP

    @property
    def look_ahead(self) -> float:
        """Seconds of sound after the middle of a frame that must be there before its mouth is known."""
        return self.feature.facts.window_look_ahead_ms / 1000.0

    def stream(self) -> HearingStream:
        """A new sound of the same voice, with silence before it."""
        return HearingStream(self)

    def codes_of(self, windows: Float32[np.ndarray, "n w d"]) -> Float32[np.ndarray, "n m"]:
        """Mouth codes of normalised windows, in the person's range under the voice as it was heard so far."""
        answers, gate = answers_of(self.encoder, windows, self.drive, self.feature)
        if self.encoder.range is None:
            return spoken(self.encoder, answers, gate, self.closed, self.drive, None)
        made, start = [], 0
        while start < len(answers):
            rows = slice(start, min(len(answers), start + self._until))
            made.append(spoken(self.encoder, answers[rows], gate[rows], self.closed, self.drive, self._voice))
            self._told.extend(answers[rows][gate[rows] > 0.5])
            self._until -= rows.stop - rows.start
            if self._until == 0:
                self._until = VOICE_STEP
                self._ask()
            start = rows.stop
        return np.concatenate(made)

    def _ask(self) -> None:
        if len(self._told) > 1 and self.encoder.range is not None:
            told = torch.from_numpy(np.stack(self._told))
            self._voice = self.encoder.range.of_voice(told, self.encoder.centre.cpu())


class HearingStream:
    """One sound as it comes. See :meth:`Hearing.stream`."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._features = hearing.feature.stream()
        self._rows = np.zeros((0, hearing.feature.facts.dimension), np.float32)
        self._first = 0
        """Number of the feature frame that the first of the rows is."""
        self._begun = False
        self._samples = 0
        self.frames = 0
        """Video frames whose codes were given so far."""

    def push(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "n m"]:
        """Take 16 kHz samples, and give the codes of the video frames that became known."""
        self._samples += len(samples)
        self._hear(self._features.push(samples))
        return self._told()

    def finish(self) -> Float32[np.ndarray, "n m"]:
        """The remaining frames, as if silence followed: as many in all as the sound lasts, rounded up."""
        if self._samples:
            self._hear(self._features.finish())
        known = self._hearing.normaliser.statistics
        if known is None:
            return self._none()
        if not self._begun:
            self._begin(known)
        window = self._hearing.window
        self._append(np.repeat(known.silence[None], 2 * window.length + window.rate // VIDEO_FPS, axis=0))
        return self._told(-(-self._samples // PER_FRAME))

    def _hear(self, raw: np.ndarray) -> None:
        normaliser, window = self._hearing.normaliser, self._hearing.window
        if not self._begun and (known := normaliser.statistics) is not None and not len(self._rows):
            self._begin(known)
        # Row by row until what lies before the sound is known: then nothing depends on the pieces.
        wanted = int(window.centres(np.array([0]))[0]) + window.radius + 1
        at = 0
        while not self._begun and at < len(raw):
            self._append(normaliser.push(raw[at : at + 1]))
            at += 1
            if len(self._rows) == wanted:
                assert normaliser.statistics is not None
                self._begin(normaliser.statistics)
        self._append(normaliser.push(raw[at:]))

    def _begin(self, known: AudioStatistics) -> None:
        """Before the sound lies silence."""
        before = self._hearing.window.radius
        self._rows = np.concatenate([np.repeat(known.silence[None], before, axis=0).astype(np.float32), self._rows])
        self._first, self._begun = -before, True

    def _append(self, rows: np.ndarray) -> None:
        if len(rows):
            self._rows = np.concatenate([self._rows, rows.astype(np.float32)])

    def _told(self, until: int | None = None) -> np.ndarray:
        """Codes of the frames whose windows are whole; ``until`` some frame."""
        if not self._begun:
            return self._none()
        window = self._hearing.window
        last = self._first + len(self._rows) - 1 - window.radius
        # Half a frame's feature frames before its centre, and rounding: count down from a sure bound.
        count = last * VIDEO_FPS // window.rate + 2
        while count > self.frames and int(window.centres(np.array([count - 1]))[0]) > last:
            count -= 1
        count = count if until is None else min(count, until)
        if count <= self.frames:
            return self._none()
        centres = window.centres(np.arange(self.frames, count))
        codes = self._hearing.codes_of(self._rows[centres[:, None] + window.steps - self._first])
        self.frames = count
        gone = max(0, int(window.centres(np.array([count]))[0]) - window.radius - self._first)
        self._rows, self._first = self._rows[gone:], self._first + gone
        return codes

    def _none(self) -> np.ndarray:
        return np.zeros((0, len(self._hearing.closed)), np.float32)
