"""Sound that comes in pieces: what was handed over as samples, and at another rate without seams between pieces."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import numpy as np
from jaxtyping import Float32, Int16

from gaussavatar.errors import UserError

SLOWEST, FASTEST = 4000, 192_000
"""Samples per second that are taken."""

_CROSSINGS = 16
"""Zero crossings of the filter on either side, at the lower of the two rates."""
_BETA = 8.0
_PHASES = 2048
"""Positions between two samples that the filter is tabulated at, where the two rates have no small ratio."""
_CHANNELS = 8

Pcm = bytes | bytearray | memoryview | np.ndarray


def as_pcm(sound: object, rate: object) -> tuple[Int16[np.ndarray, "t"], int]:
    """What a program hands over, as mono samples of 16 bits and their rate.

    Args:
        sound: little-endian bytes of 16-bit samples, or an array (t,) or (t, channels) of int16, or float in -1..1.
        rate: samples per second.

    Raises:
        UserError: another thing, half a sample, a rate out of reason, or numbers that are none.
    """
    whole = isinstance(rate, int | np.integer) or (isinstance(rate, float) and rate.is_integer())
    if isinstance(rate, bool) or not whole or not SLOWEST <= rate <= FASTEST:  # type: ignore[operator]
        raise UserError(f"a rate of {SLOWEST} to {FASTEST} samples per second", repr(rate), "give the sound's own rate")
    per_second = int(rate)  # type: ignore[call-overload]
    if isinstance(sound, bytes | bytearray | memoryview):
        if len(data := bytes(sound)) % 2:
            do = "keep the odd byte until the next piece comes"
            raise UserError("whole samples of 16 bits", f"{len(data)} bytes", do)
        return np.frombuffer(data, "<i2").astype(np.int16, copy=False), per_second
    do = "give 16-bit samples: bytes, or an int16 array of shape (t,) or (t, channels)"
    if not isinstance(sound, np.ndarray):
        raise UserError("sound as bytes or an array", type(sound).__name__, do)
    if sound.ndim not in (1, 2) or (sound.ndim == 2 and not 1 <= sound.shape[1] <= _CHANNELS):
        raise UserError("samples of shape (t,) or (t, channels)", f"{sound.shape}", do)
    if sound.dtype == np.int16:
        # A copy: the caller may fill its array again before this one is heard.
        return sound.copy() if sound.ndim == 1 else sound.mean(axis=1).round().astype(np.int16), per_second
    if not np.issubdtype(sound.dtype, np.floating):
        raise UserError("samples as int16, or as float in -1..1", str(sound.dtype), do)
    if not np.isfinite(sound).all():
        raise UserError("sound of finite samples", "NaN or infinity in it", "mend what makes the sound")
    mono = sound if sound.ndim == 1 else sound.mean(axis=1)
    return to_int16(mono.astype(np.float32)), per_second


def to_int16(samples: Float32[np.ndarray, "t"]) -> Int16[np.ndarray, "t"]:
    """Samples in -1..1 as 16 bits; what is beyond is cut."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


@lru_cache(maxsize=8)
def _filters(up: int, down: int, phases: int) -> Float32[np.ndarray, "phases taps"]:
    """Windowed sincs: row p weighs the samples around a position p / phases of the way between two of them."""
    band = min(1.0, up / down)
    half = ceil(_CROSSINGS / band)
    # The pass band ends a little early, so that what folds back is in the stop band.
    cutoff = band * (1.0 - 1.0 / _CROSSINGS)
    away = np.arange(-half + 1, half + 1) - np.arange(phases + 1)[:, None] / phases
    window = np.i0(_BETA * np.sqrt(np.clip(1.0 - (away / half) ** 2, 0.0, None))) / np.i0(_BETA)
    weights = cutoff * np.sinc(cutoff * away) * window
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


class Resampler:
    """Sound at another rate, piece by piece: the same as of the whole, and not moved in time.

    Output n stands at input position ``n * rate_in / rate_out``. It comes out once a millisecond after it is there (of
    slower sound: 16 samples).

    Args:
        rate_in: samples per second of what comes.
        rate_out: samples per second wanted.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        common = gcd(rate_in, rate_out)
        self._up, self._down = rate_out // common, rate_in // common
        self._same = self._up == self._down
        self._phases = min(self._up, _PHASES)
        self._weights = _filters(self._up, self._down, self._phases)
        self._half = self._weights.shape[1] // 2
        self._kept = np.zeros(self._half - 1, np.float32)
        self._first = 1 - self._half
        """Input position of the first sample that is kept."""
        self._taken = self._given = 0

    def push(self, samples: Float32[np.ndarray, "t"]) -> Float32[np.ndarray, "s"]:
        """Take samples, and give those of the other rate that became known."""
        self._taken += len(samples)
        if self._same:
            return samples
        self._kept = np.concatenate([self._kept, samples])
        # The last output whose samples to the right are there: its position is at most taken - half - 1.
        reach = self._taken - self._half
        return self._emit(max(0, (reach * self._up - 1) // self._down + 1 if reach > 0 else 0))

    def finish(self) -> Float32[np.ndarray, "s"]:
        """The rest, as if silence followed: as many samples in all as the sound lasts, rounded up."""
        if self._same:
            return np.zeros(0, np.float32)
        self._kept = np.concatenate([self._kept, np.zeros(self._half + 1, np.float32)])
        return self._emit(-(-self._taken * self._up // self._down))

    def _emit(self, until: int) -> np.ndarray:
        if until <= self._given:
            return np.zeros(0, np.float32)
        at = np.arange(self._given, until, dtype=np.int64) * self._down
        whole, part = at // self._up, at % self._up
        rows = part if self._phases == self._up else np.rint(part * (self._phases / self._up)).astype(np.int64)
        seen = np.lib.stride_tricks.sliding_window_view(self._kept, 2 * self._half)
        told = np.einsum("nt,nt->n", seen[whole - self._half + 1 - self._first], self._weights[rows])
        self._given = until
        gone = max(0, until * self._down // self._up - self._half + 1 - self._first)
        self._kept, self._first = self._kept[gone:], self._first + gone
        return told.astype(np.float32)
