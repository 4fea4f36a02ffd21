"""One clock for picture and sound: the browser's audio element, and the wall clock where there is none."""

from __future__ import annotations

import threading
import time

TRUSTED_SECONDS = 2.0
"""A browser's clock that differs by more than this is another machine's wrong clock, and is not followed."""


class PlayClock:
    """Position in a motion of ``seconds`` that repeats; plays, pauses, follows the browser's audio element."""

    def __init__(self, seconds: float) -> None:
        self._seconds = max(seconds, 1e-3)
        self._lock = threading.Lock()
        self._epoch = 0.0
        self._held = 0.0
        self.playing = False

    def play(self, now: float | None = None) -> None:
        """Go on from where the clock was paused."""
        with self._lock:
            self._epoch = _or_now(now) - self._held
            self.playing = True

    def pause(self, now: float | None = None) -> None:
        """Hold the present position."""
        with self._lock:
            if self.playing:
                self._held = (_or_now(now) - self._epoch) % self._seconds
            self.playing = False

    def position(self, now: float | None = None) -> float:
        """Seconds into the motion, in 0..seconds."""
        with self._lock:
            return (_or_now(now) - self._epoch) % self._seconds if self.playing else self._held

    def follow(self, epoch: float) -> bool:
        """Take over the wall-clock moment at which the heard sound was at its beginning.

        Args:
            epoch: seconds since 1970, from the browser: its present time minus the audio element's position.

        Returns:
            Whether the epoch was believed.
        """
        with self._lock:
            # The motion repeats, so only the difference within one repetition matters.
            difference = (epoch - self._epoch + self._seconds / 2) % self._seconds - self._seconds / 2
            if not self.playing or abs(difference) > TRUSTED_SECONDS:
                return False
            self._epoch += difference
            return True


def _or_now(now: float | None) -> float:
    return time.time() if now is None else now
