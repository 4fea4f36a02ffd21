"""A time code in the sound: two tones that sweep, above what a voice of 16 kHz has; any 20 ms say where they are.

It survives Opus, and a jitter buffer that hurries, stretches or repeats it, to a millisecond; an envelope would have to
be found again, and is not where the sound runs at another speed.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int16

RATE = 48_000

WINDOW = 960
"""Samples that are looked at."""

PERIOD = 10.0
"""Seconds after which the code begins anew."""

SLOW, FAST = (9_000.0, 400.0, PERIOD), (14_000.0, 8_000.0, 0.5)
"""Of a tone: Hz at its beginning, Hz per second, seconds until it begins anew."""

LEVEL = 0.005
"""Size of each tone; 1 is full scale."""

AGREE = 0.04
"""Seconds by which the two tones may differ."""

CLEAR = 15.0
"""How far a tone has to stand out of its band's median."""


def coded(sound: Int16[np.ndarray, "s"], start: int) -> Int16[np.ndarray, "s"]:
    """Sound with its time in it.

    Args:
        sound: at :data:`RATE`.
        start: place of its first sample.
    """
    time = (start + np.arange(len(sound))) / RATE
    tones = sum(np.cos(2 * np.pi * (low + speed / 2 * at) * at) for low, speed, at in _places(time))
    return (sound + 32767 * LEVEL * tones).clip(-32768, 32767).astype(np.int16)


def decoded(windows: Float[np.ndarray, "n s"]) -> tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """Where the middles of windows are, in seconds modulo :data:`PERIOD`, and whether that is sure.

    Args:
        windows: :data:`WINDOW` samples each, at :data:`RATE`.
    """
    spectra = np.abs(np.fft.rfft(windows * np.hanning(windows.shape[1]), 4096, axis=1))
    slow, slow_clear = _tone(spectra, *SLOW)
    fast, fast_clear = _tone(spectra, *FAST)
    place = fast + FAST[2] * np.round((slow - fast) / FAST[2])
    return place % PERIOD, (np.abs(place - slow) < AGREE) & slow_clear & fast_clear


def _places(time: Float[np.ndarray, "s"]) -> list[tuple[float, float, Float[np.ndarray, "s"]]]:
    return [(low, speed, time % period) for low, speed, period in (SLOW, FAST)]


def _tone(
    spectra: Float[np.ndarray, "n f"], low: float, speed: float, period: float
) -> tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """Seconds since a tone began, by its strongest frequency (a parabola through three logarithms)."""
    step, edge = RATE / 4096, 200
    first = int((low - edge) / step)
    band = spectra[:, first : int((low + speed * period + edge) / step)]
    top, row = band.argmax(1).clip(1, band.shape[1] - 2), np.arange(len(band))
    left, peak, right = (np.log(band[row, top + k] + 1e-12) for k in (-1, 0, 1))
    off = (0.5 * (left - right) / (left - 2 * peak + right - 1e-12)).clip(-1, 1)
    clear = band[row, top] > CLEAR * np.median(band, 1) + 1e-9
    return ((first + top + off) * step - low) / speed, clear
