"""Log-mel: the logarithm of the power in 40 mel bands, 100 times a second, of 25 ms of sound around each frame."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.audio.stream import n_centred_frames
from gaussavatar.types import ANALYSIS_RATE, Waveform

N_MELS = 40
MEL_RATE = 100
"""Feature frames per second."""

HOP = ANALYSIS_RATE // MEL_RATE
FFT_WINDOW = 400
FFT_SIZE = 512
MEL_LOW_HZ = 60.0
MEL_HIGH_HZ = 7600.0
POWER_FLOOR = 1e-11
"""Added to every mel power; a full-scale sine has power about 1, so this is -110 dB."""

LOG_FLOOR = float(np.log(POWER_FLOOR))
"""The log-mel value of digital silence."""


def mel_frequencies(n: int = N_MELS + 2) -> Float[np.ndarray, "n"]:
    """Edges and centres (Hz) of the filters, equidistant on the mel scale 2595 log10(1 + f/700)."""
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (MEL_LOW_HZ, MEL_HIGH_HZ))
    return 700.0 * (10.0 ** (np.linspace(low, high, n) / 2595.0) - 1.0)


@cache
def _filterbank() -> Float32[np.ndarray, "bins 40"]:
    edges = mel_frequencies()
    frequency = np.fft.rfftfreq(FFT_SIZE, 1.0 / ANALYSIS_RATE)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@cache
def _analysis_window() -> Float32[np.ndarray, "400"]:
    # The periodic window is scaled so that a full-scale sine gives a power of one.
    phase = 2.0 * np.pi * np.arange(FFT_WINDOW) / FFT_WINDOW
    window = 0.5 - 0.5 * np.cos(phase)
    return (window * 2.0 / window.sum()).astype(np.float32)


def white_noise_mel() -> Float[np.ndarray, "40"]:
    """Mean power in every band of white noise of variance one."""
    return np.square(_analysis_window()).sum() * _filterbank().sum(0).astype(np.float64)


def log_mel_frames(samples: np.ndarray, n: int) -> Float32[np.ndarray, "n 40"]:
    """The first ``n`` frames of samples; frame 0 starts at the first of them."""
    if n <= 0:
        return np.zeros((0, N_MELS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FFT_WINDOW)[::HOP][:n]
    out = np.empty((n, N_MELS), np.float32)
    for start in range(0, n, 4096):  # Bounds the memory of long files.
        part = frames[start : start + 4096]
        spectrum = np.fft.rfft(part * _analysis_window(), FFT_SIZE, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        out[start : start + len(part)] = np.log(power @ _filterbank() + POWER_FLOOR)
    return out


def _checked_samples(waveform: Waveform) -> np.ndarray:
    if waveform.rate != ANALYSIS_RATE:
        raise ValueError(f"log_mel wants {ANALYSIS_RATE} samples per second, got {waveform.rate}")
    return np.asarray(waveform.samples, np.float32)


def log_mel(waveform: Waveform) -> Float32[np.ndarray, "t 40"]:
    """Natural logarithm of 40 mel band powers at 100 Hz, frame j centred at j * 0.01 s.

    Sound before the start and after the end counts as digital silence.

    Args:
        waveform: mono sound at 16 kHz.

    Raises:
        ValueError: the sample rate is another one.
    """
    samples = _checked_samples(waveform)
    n = n_centred_frames(len(samples), HOP)
    half = FFT_WINDOW // 2
    return log_mel_frames(np.pad(samples, (half, half + HOP)), n)
