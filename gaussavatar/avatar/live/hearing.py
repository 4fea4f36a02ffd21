"""From sound that is still coming to mouth codes: what :mod:`gaussavatar.audio.drive` does of a whole sound.

Features are taken as sound comes, and normalised only when a frame's mouth is asked for, by everything that was heard
of the voice until then: of a sentence that comes at once, as speech engines send it, that is nearly what the whole
file would give.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float32

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.drive import DriveConfig, answers_of, spoken
from gaussavatar.audio.encoder import AudioEncoder, heard_by
from gaussavatar.audio.features.api import Foresees, Recognises
from gaussavatar.audio.normalise import AudioStatistics, StatisticsSoFar, normalise
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
        known: statistics of the voice's features, from before.
        sure: whether it is that voice that will be heard, or another one perhaps.

    Raises:
        UserError: what the network hears is not installed here, or cannot be had of sound that is still coming.
    """

    def __init__(
        self,
        encoder: AudioEncoder | Blend,
        closed: Float32[np.ndarray, "m"],
        drive: DriveConfig,
        known: AudioStatistics | None = None,
        sure: bool = True,
    ) -> None:
        self.encoder, self.closed, self.drive = encoder, closed, drive
        self.feature = heard_by(encoder.config)
        self.feature.stream()
        self.window = self.feature.facts.window
        feature = self.feature
        self.voice = StatisticsSoFar(
            feature.statistics, feature.activity, self.window.rate, known,
            foreseen=feature.foreseen if isinstance(feature, Foresees) else None,
            recognised=None if sure else feature.recognised if isinstance(feature, Recognises) else _nobody,
        )  # fmt: skip
        # A network that takes longer than a frame would hold up frames that are due: it works beside them.
        self.worker = None if self.feature.facts.stream_alike else ThreadPoolExecutor(1, "gaussavatar-hearing")
        self._range = (1.0, 0.0)
        self._told: deque[np.ndarray] = deque(maxlen=VOICE_MEMORY)
        self._until = VOICE_STEP

    @property
    def look_ahead(self) -> float:
        """Seconds of sound after the middle of a frame that must be there before its mouth is known."""
        return self.feature.facts.window_look_ahead_ms / 1000.0

    def stream(self) -> HearingStream:
        """A new sound of the same voice, with silence before it."""
        return HearingStream(self)

    def close(self) -> None:
        """Let the thread go; what it works on is not waited for."""
        if self.worker is not None:
            self.worker.shutdown(wait=False, cancel_futures=True)

    def codes_of(self, windows: Float32[np.ndarray, "n w d"]) -> Float32[np.ndarray, "n m"]:
        """Mouth codes of normalised windows, in the person's range under the voice as it was heard so far."""
        answers, gate = answers_of(self.encoder, windows, self.drive, self.feature)
        if self.encoder.range is None:
            return spoken(self.encoder, answers, gate, self.closed, self.drive, None)
        made, start = [], 0
        while start < len(answers):
            rows = slice(start, min(len(answers), start + self._until))
            made.append(spoken(self.encoder, answers[rows], gate[rows], self.closed, self.drive, self._range))
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
            self._range = self.encoder.range.of_voice(told, self.encoder.centre.cpu())


def _nobody(known: AudioStatistics, heard: AudioStatistics, seconds: float) -> float:
    """What a feature that tells no voices apart takes for the known one."""
    return 0.0


class HearingStream:
    """One sound as it comes. See :meth:`Hearing.stream`."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._features = hearing.feature.stream()
        self._raw = np.zeros((0, hearing.feature.facts.dimension), np.float32)
        self._first = 0
        """Number of the feature frame that the first of the rows is."""
        self._samples = self._given = 0
        self._whole = False
        self._jobs: deque[Future[np.ndarray]] = deque()

    @property
    def ahead(self) -> int:
        """Video frames whose sound was taken, besides those that were told."""
        return self._samples // PER_FRAME - self._given

    @property
    def ready(self) -> int:
        """Video frames whose mouths can be told now, besides those that were."""
        while self._jobs and self._jobs[0].done():
            self._keep(self._jobs.popleft().result())
        if self._whole and not self._jobs:
            return -(-self._samples // PER_FRAME) - self._given
        window = self._hearing.window
        last = self._first + len(self._raw) - 1 - window.radius
        # Rounding of centres: count down from a sure bound.
        count = last * VIDEO_FPS // window.rate + 2
        while count > self._given and int(window.centres(np.array([count - 1]))[0]) > last:
            count -= 1
        return max(0, count - self._given)

    @property
    def working(self) -> bool:
        """Whether the hearing's thread is at work on it."""
        return any(not job.done() for job in self._jobs)

    @property
    def told(self) -> bool:
        """Whether all of a finished sound is known."""
        return self._whole and not self._jobs

    def push(self, samples: Float32[np.ndarray, "s"]) -> None:
        """Take 16 kHz samples."""
        self._samples += len(samples)
        self._do(self._features.push, samples)

    def finish(self) -> None:
        """The sound ends, and silence follows: there are as many frames in all as it lasts, rounded up."""
        if self._samples:
            self._do(self._features.finish)
        self._whole = True

    def take(self, count: int) -> Float32[np.ndarray, "count m"]:
        """The mouth codes of the next ``count`` frames, at most :attr:`ready`."""
        hearing, window = self._hearing, self._hearing.window
        known = hearing.voice.statistics or hearing.feature.statistics(self._raw)
        places = window.centres(np.arange(self._given, self._given + count))[:, None] + window.steps - self._first
        seen = self._raw[: int(places[-1, -1]) + 1]
        outside = (places < 0) | (places >= len(seen))
        rows = np.concatenate([normalise(seen, known), known.silence[None].astype(np.float32)])
        codes = hearing.codes_of(rows[np.where(outside, len(seen), places)])
        self._given += count
        gone = max(0, int(window.centres(np.array([self._given]))[0]) - window.radius - self._first)
        self._raw, self._first = self._raw[gone:], self._first + gone
        return codes

    def _do(self, work: Callable[..., np.ndarray], *what: np.ndarray) -> None:
        """At once, or in the hearing's own thread."""
        if self._hearing.worker is None:
            self._keep(work(*what))
        else:
            self._jobs.append(self._hearing.worker.submit(work, *what))

    def _keep(self, raw: np.ndarray) -> None:
        if len(raw):
            self._raw = np.concatenate([self._raw, raw])
            self._hearing.voice.hear(raw)
