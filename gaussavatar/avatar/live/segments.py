"""What is to be said: a segment takes sound as it comes, and gives it out in frames with the codes of its mouths."""

from __future__ import annotations

from collections import deque
from math import ceil

import numpy as np
from jaxtyping import Float32, Int16

from gaussavatar.avatar.live.hearing import Hearing, HearingStream
from gaussavatar.avatar.live.records import FPS, FRAME
from gaussavatar.avatar.live.sound import Resampler, to_int16
from gaussavatar.types import ANALYSIS_RATE

PIECE = 0.32
"""Seconds of sound that are heard at a time, where so much is there: the network is quicker for many frames."""
LITTLE = 0.12
"""Seconds of sound that comes as it is spoken, and waits for more while it can: to be heard together."""
TOGETHER = 8
"""Frames whose mouths are told at a time, where so many are known."""


class Segment:
    """Sound from its first sample to :meth:`close`, in the order in which it was taken.

    Args:
        number: of this segment in its session.
        hearing: what its mouths are known by.
        rate: samples per second of the sound that is given out.
    """

    def __init__(self, number: int, hearing: Hearing, rate: int) -> None:
        self.number, self.closed, self.playing = number, False, False
        self.seconds = 0.0
        """Of sound that was taken."""
        self.given = 0
        """Frames that were given out."""
        self._hearing, self._rate = hearing, rate
        self._stream: HearingStream | None = None
        self._waiting: deque[tuple[np.ndarray, int]] = deque()
        self._from = 0
        self._to_hear: Resampler | None = None
        self._to_say: Resampler | None = None
        self._codes: deque[np.ndarray] = deque()
        self._audio: deque[np.ndarray] = deque()
        self._audio_samples = 0
        self._whole = False
        self._last = hearing.closed.astype(np.float32)

    def push(self, samples: Int16[np.ndarray, "t"], rate: int) -> None:
        """Take a piece; nothing is worked out yet."""
        if len(samples):
            self._waiting.append((samples, rate))
            self.seconds += len(samples) / rate

    @property
    def in_time(self) -> bool:
        """Whether what waits may wait for more: it is little, and enough is known for this frame and the next."""
        waiting = sum(len(samples) / rate for samples, rate in self._waiting)
        return self.playing and not self.closed and waiting < LITTLE and self.ready >= 2

    @property
    def ahead(self) -> int:
        """Frames whose sound was handed to the network, besides those that were given out."""
        return len(self._codes) + (0 if self._stream is None else self._stream.ahead)

    @property
    def ready(self) -> int:
        """Frames that can be given out now."""
        known = len(self._codes) + (0 if self._stream is None else self._stream.ready)
        if self.heard:
            return self._length - self.given
        return min(known, self._audio_samples // (self._rate // FPS))

    @property
    def working(self) -> bool:
        """Whether a thread is at work on it."""
        return self._stream is not None and self._stream.working

    @property
    def heard(self) -> bool:
        """Whether all of a closed segment was heard."""
        return self._whole and (self._stream is None or self._stream.told)

    @property
    def over(self) -> bool:
        """Whether all of a closed segment has been given out."""
        return self._whole and self.given >= self._length

    @property
    def position(self) -> float:
        """Seconds of its sound that were given out."""
        return min(self.given * FRAME, self.seconds)

    @property
    def _length(self) -> int:
        """Frames of its sound, the last one filled up with silence."""
        return max(1, ceil(round(self.seconds * FPS, 6)))

    def advance(self) -> bool:
        """Hear the next piece of what waits; False where nothing waits, and nothing is left to be done."""
        if self._whole:
            return False
        if self._waiting:
            self._hear(*self._next_piece())
            return True
        if not self.closed:
            return False
        self._end_of_rate()
        if self._stream is not None:
            self._stream.finish()
        self._whole = True
        return True

    def take(self) -> tuple[Float32[np.ndarray, "m"], Int16[np.ndarray, "s"]]:
        """The next frame: its codes, and its sound."""
        count, parts = self._rate // FPS, []
        while count and self._audio:
            part = self._audio.popleft()
            parts.append(part[:count])
            if len(part) > count:
                self._audio.appendleft(part[count:])
            count -= len(parts[-1])
        if count:
            parts.append(np.zeros(count, np.int16))
        self._audio_samples = max(0, self._audio_samples - self._rate // FPS)
        self.given += 1
        return self._next_codes(), np.concatenate(parts)

    def _next_codes(self) -> Float32[np.ndarray, "m"]:
        if not self._codes and self._stream is not None and (known := min(TOGETHER, self._stream.ready)) > 0:
            self._codes.extend(self._stream.take(known))
        # Rounding of two rates may leave the last frame of sound without one of its own.
        self._last = self._codes.popleft() if self._codes else self._last
        return self._last

    def _next_piece(self) -> tuple[np.ndarray, int]:
        """Up to :data:`PIECE` of what waits at one rate."""
        rate, parts = self._waiting[0][1], []
        wanted = max(1, round(PIECE * rate))
        while wanted and self._waiting and self._waiting[0][1] == rate:
            samples, _ = self._waiting.popleft()
            parts.append(samples[:wanted])
            if len(samples) > wanted:
                self._waiting.appendleft((samples[wanted:], rate))
            wanted -= len(parts[-1])
        return np.concatenate(parts), rate

    def _hear(self, samples: np.ndarray, rate: int) -> None:
        if rate != self._from:
            self._end_of_rate()
            self._from = rate
            self._to_hear, self._to_say = Resampler(rate, ANALYSIS_RATE), Resampler(rate, self._rate)
        assert self._to_hear is not None and self._to_say is not None
        sound = samples.astype(np.float32) / np.float32(32768)
        self._say(samples if rate == self._rate else to_int16(self._to_say.push(sound)))
        self._listen(self._to_hear.push(sound))

    def _end_of_rate(self) -> None:
        """The last samples that the filters hold."""
        if self._to_hear is not None and self._to_say is not None:
            self._say(to_int16(self._to_say.finish()))
            self._listen(self._to_hear.finish())
            self._to_hear = self._to_say = None
            self._from = 0

    def _say(self, samples: np.ndarray) -> None:
        if len(samples):
            self._audio.append(samples)
            self._audio_samples += len(samples)

    def _listen(self, samples: np.ndarray) -> None:
        self._stream = self._stream or self._hearing.stream()
        if len(samples):
            self._stream.push(samples)
