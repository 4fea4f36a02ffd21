"""The feature ``pitch``: how high, how voiced and how rising in loudness the voice is, 50 times a second.

Pitch is found as YIN does (de Cheveigne and Kawahara 2002, steps 2 to 5): the lag at which a stretch of sound differs
least from itself, against the mean difference of the shorter lags. Between voiced stretches it goes on a straight line,
as intonation is heard; that line needs the next voiced sound, so that it cannot follow live sound.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import median_filter, uniform_filter1d

from gaussavatar.audio.features.api import FeatureFacts
from gaussavatar.audio.features.columns import loudness_column, speech_statistics
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.stream import FeatureStream, n_centred_frames
from gaussavatar.audio.windows import Window
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

RATE = 50
HOP = ANALYSIS_RATE // RATE

FACTS = FeatureFacts(
    names=("pitch",), dimension=3, window=Window(RATE, 16), look_ahead_ms=1000.0, streamable=False, leads=False
)
"""Columns: logarithm of the pitch over 150 Hz, voicing (0..1), change of loudness in nats per 100 ms."""

LOG_PITCH, VOICING, SLOPE = 0, 1, 2

_LOWEST_HZ, _HIGHEST_HZ, _MIDDLE_HZ = 65.0, 450.0, 150.0
_SPAN = 640
"""Samples that are compared with those a lag later: 40 ms hold two periods of a low voice."""

_DIP = 0.15
"""Normalised difference under which the first dip is the period (YIN's absolute threshold)."""

_VOICED = 0.6
_LEAST_POWER = 1e-7
"""Mean square (-70 dB) under which nothing is voiced."""

_HOLD = 17
"""Feature frames (340 ms) in which any voicing counts as speech: its consonants have none."""


def pitch_and_voicing(
    samples: Float32[np.ndarray, "s"],
) -> tuple[Float32[np.ndarray, "t"], Float32[np.ndarray, "t"]]:
    """Pitch (Hz, 0 where nothing is voiced) and voicing (0..1) of 16 kHz sound, frame j centred at sample ``320 j``."""
    n = n_centred_frames(len(samples), HOP)
    shortest, longest = int(ANALYSIS_RATE / _HIGHEST_HZ), int(ANALYSIS_RATE / _LOWEST_HZ) + 1
    field = _SPAN + longest
    padded = np.pad(samples, (field // 2, field))
    frames = np.lib.stride_tricks.sliding_window_view(padded, field)[::HOP][:n]
    pitch, voicing = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for start in range(0, n, 2048):
        part = slice(start, start + 2048)
        difference, power = _difference(frames[part].astype(np.float64), longest)
        pitch[part], depth = _first_dip(difference, shortest)
        voicing[part] = np.clip(1.0 - depth, 0.0, 1.0) * (power > _LEAST_POWER)
    voiced = voicing > _VOICED
    return np.where(voiced, median_filter(pitch, 3), 0.0).astype(np.float32), voicing


def _difference(frames: Float[np.ndarray, "t s"], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative mean normalised difference for the lags up to ``longest`` (YIN, eq. 6 to 8), and the mean power."""
    size = 1 << int(frames.shape[1] - 1).bit_length()
    head = np.fft.rfft(frames[:, :_SPAN], size)
    agreement = np.fft.irfft(head.conj() * np.fft.rfft(frames, size), size)[:, : longest + 1]
    total = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), 1)
    energy = total[:, _SPAN : _SPAN + longest + 1] - total[:, : longest + 1]
    difference = np.maximum(energy[:, :1] + energy - 2.0 * agreement, 0.0)[:, 1:]
    lags = np.arange(1, longest + 1)
    mean = np.cumsum(difference, 1) / lags
    return np.where(mean > 1e-12, difference / np.maximum(mean, 1e-12), 1.0), energy[:, 0] / _SPAN


def _first_dip(difference: Float[np.ndarray, "t lags"], shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitch at the first dip under the threshold, or at the deepest; and how far down it goes."""
    inner = difference[:, shortest - 1 :]
    dips = (inner[:, 1:-1] <= inner[:, :-2]) & (inner[:, 1:-1] < inner[:, 2:])
    good = dips & (inner[:, 1:-1] < _DIP)
    first, deepest = np.argmax(good, 1), np.argmin(np.where(dips, inner[:, 1:-1], 2.0), 1)
    at = np.where(good.any(1), first, deepest) + 1
    rows = np.arange(len(inner))
    before, depth, after = (inner[rows, at + k] for k in (-1, 0, 1))
    bend = before - 2.0 * depth + after
    shift = np.where(bend > 1e-12, 0.5 * (before - after) / np.maximum(bend, 1e-12), 0.0)
    return ANALYSIS_RATE / (shortest + at + np.clip(shift, -0.5, 0.5)), depth


class PitchFeature:
    """Pitch as an :class:`gaussavatar.audio.features.api.AudioFeature`."""

    @property
    def facts(self) -> FeatureFacts:
        """See :data:`FACTS`."""
        return FACTS

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "t 3"]:
        """Log pitch, voicing and the slope of loudness."""
        samples = np.asarray(waveform.samples, np.float32)
        pitch, voicing = pitch_and_voicing(samples)
        known = np.flatnonzero(pitch)
        line = np.zeros(len(pitch))
        if len(known):
            line = np.interp(np.arange(len(pitch)), known, np.log(pitch[known] / _MIDDLE_HZ))
        level = uniform_filter1d(loudness_column(waveform, RATE)[:, 0], 3, mode="nearest")
        around = np.pad(level, 2, mode="edge")
        slope = (around[4:] - around[:-4]) * (RATE / 4 / 10)
        return np.stack([line, voicing, slope], 1).astype(np.float32)

    def stream(self) -> FeatureStream:
        """Refused: pitch between voiced sounds leads to the next one.

        Raises:
            UserError: always.
        """
        raise UserError("audio features that can follow live sound", "pitch, which cannot", "name others")

    def statistics(self, raw: Float[np.ndarray, "t 3"]) -> AudioStatistics:
        """The speaker's own pitch and range; silence has no voicing and no slope."""
        own = speech_statistics(raw, self.activity(raw.astype(np.float32)), 0.25)
        quiet = np.array([own.mean[LOG_PITCH], 0.0, 0.0], np.float32)
        return AudioStatistics(own.mean, own.std, own.floor, quiet)

    def activity(self, raw: Float32[np.ndarray, "t 3"]) -> Float32[np.ndarray, "t"]:
        """What is within 0.16 s of something voiced; whispered speech counts as a pause."""
        voiced = (raw[:, VOICING] > _VOICED).astype(np.float32)
        padded = np.pad(voiced, _HOLD // 2)
        return np.lib.stride_tricks.sliding_window_view(padded, _HOLD).max(1)

    def gate(self, windows: Float32[np.ndarray, "n w 3"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """Always open: whispered speech has no pitch."""
        return np.ones(len(windows))


PITCH = PitchFeature()


def build() -> PitchFeature:
    """The one there is: it holds nothing."""
    return PITCH
