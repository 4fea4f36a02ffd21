"""The feature ``viseme``: what mouth a small network of our own hears in the sound, whoever speaks.

How the network was made is told in docs/speech.md; it runs in :mod:`gaussavatar.audio.features.viseme_network`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.audio.features.api import FeatureFacts
from gaussavatar.audio.features.mel_bands import FFT_WINDOW, HOP, MEL_RATE, N_MELS, log_mel, log_mel_frames
from gaussavatar.audio.features.viseme_network import (
    ARTICULATION,
    LAYERS,
    RATE,
    SILENT,
    between_silence,
    mouth_of,
    normaliser,
    reach_of,
    viseme_network,
)
from gaussavatar.audio.gate import GateConfig, silence_gate
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.stream import FramedStream
from gaussavatar.audio.windows import Window
from gaussavatar.media.samples import stretches
from gaussavatar.types import ANALYSIS_RATE, Waveform

COMPONENTS = 24
DIMENSION = COMPONENTS + len(ARTICULATION) + 1

_REACH = reach_of(LAYERS)

FACTS = FeatureFacts(
    names=("viseme",),
    dimension=DIMENSION,
    window=Window(RATE, 3),
    look_ahead_ms=1000.0 * _REACH.after / MEL_RATE + 1000.0 * FFT_WINDOW / 2 / ANALYSIS_RATE,
    streamable=True,
)
"""A frame needs 112.5 ms of sound after its centre; a video frame sees 60 ms to either side, so 172.5 ms in all."""

_ARTICULATION_MEAN = np.array([0.4, 0.35, 0.45, 0.1], np.float32)
_ARTICULATION_STD = np.array([0.25, 0.25, 0.2, 0.25], np.float32)
_SPEECH_STD = 4.0
"""Of the log-odds of speech against silence, which are cut at 8."""

_PRIOR_FRAMES = 100.0
"""The corpus' statistics count as much as two seconds of a recording's own."""

_NO_FLOOR = -1e4

# fmt: off
_COMMON_MEAN = np.array([
    -0.33, 0.14, 0.10, 0.05, 0.12, 0.00, 0.07, 0.14, -0.17, 0.06, 0.08, -0.06,
    0.17, -0.10, -0.02, 0.11, 0.05, 0.00, 0.03, 0.00, -0.16, -0.07, -0.05, -0.08,
], np.float32)
# fmt: on
"""Of the components, in speech of 21 real voices: the corpus is synthetic, and its mean is zero."""
_COMMON_FRAMES = 110.0
"""Frames of speech that this counts as much as."""


class VisemeFeature:
    """The encoder's last layer, articulation and silence as an :class:`gaussavatar.audio.features.api.AudioFeature`.

    Columns: 24 principal components of the last layer, opening, rounding, width, closure, log-odds of speech.
    """

    @property
    def facts(self) -> FeatureFacts:
        """See :data:`FACTS`."""
        return FACTS

    def from_mel(self, mel: Float32[np.ndarray, "t 40"]) -> Float32[np.ndarray, "s 29"]:
        """The features at every second frame of a whole sound's raw log-mel."""
        if not len(mel):
            return np.zeros((0, DIMENSION), np.float32)
        return mouth_of(viseme_network(), between_silence(normaliser().push(mel), _REACH)[None])[0]

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "s 29"]:
        """Features of a whole sound; a frame depends on what is before it, and a little after it."""
        return self.from_mel(log_mel(waveform))

    def stream(self) -> VisemeStream:
        """The same, with the look-ahead that :data:`FACTS` tells."""
        return VisemeStream()

    def statistics(self, raw: Float[np.ndarray, "s 29"]) -> AudioStatistics:
        """The components' mean and spread in speech, drawn towards the corpus'; the rest is every sound's."""
        total, mean = _PRIOR_FRAMES, np.zeros(COMPONENTS)
        for heard, active in self._told(raw):
            total, mean = total + float(active.sum()), mean + (active * heard).sum(0)
        mean = mean / total
        square = sum((active * (heard - mean) ** 2).sum(0) for heard, active in self._told(raw))
        std = np.sqrt((square + _PRIOR_FRAMES) / total)
        quiet = _silence()
        return AudioStatistics(
            np.concatenate([mean, _ARTICULATION_MEAN, [0.0]]).astype(np.float32),
            np.concatenate([std, _ARTICULATION_STD, [_SPEECH_STD]]).astype(np.float32),
            np.full(DIMENSION, _NO_FLOOR, np.float32),
            quiet,
        )

    def _told(self, raw: Float[np.ndarray, "s 29"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The components, and how much of each frame is speech, a stretch at a time."""
        for part in stretches(raw):
            yield part[:, :COMPONENTS].astype(np.float64), self.activity(part)[:, None].astype(np.float64)

    def foreseen(self, raw: Float32[np.ndarray, "s 29"], own: AudioStatistics) -> AudioStatistics:
        """The components' mean drawn towards that of all voices, until more was heard than a few phones."""
        spoken = float(self.activity(raw).sum())
        mean = own.mean.copy()
        mean[:COMPONENTS] = (spoken * mean[:COMPONENTS] + _COMMON_FRAMES * _COMMON_MEAN) / (spoken + _COMMON_FRAMES)
        return replace(own, mean=mean)

    def activity(self, raw: Float[np.ndarray, "s 29"]) -> Float32[np.ndarray, "s"]:
        """The network's probability that somebody speaks."""
        return (1.0 / (1.0 + np.exp(-raw[:, -1].astype(np.float64)))).astype(np.float32)

    def gate(self, windows: Float32[np.ndarray, "n w 29"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """Silence as the network hears it, in the surroundings that the window has."""
        config = config or GateConfig()
        hold = min(config.hold * RATE // MEL_RATE, windows.shape[1] // 2)
        return silence_gate(windows[..., -1], replace(config, threshold=-0.25, hold=hold))


class VisemeStream:
    """Log-mel as it comes, and the network over it; as a :class:`gaussavatar.audio.stream.FeatureStream`."""

    def __init__(self) -> None:
        self._mel = FramedStream(log_mel_frames, FFT_WINDOW, HOP)
        self._normaliser = normaliser()
        self._heard = np.full((_REACH.before, N_MELS), SILENT, np.float32)

    def push(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t 29"]:
        """See :class:`gaussavatar.audio.stream.FeatureStream`."""
        return self._emit(self._normaliser.push(self._mel.push(samples)))

    def finish(self) -> Float32[np.ndarray, "t 29"]:
        """See :class:`gaussavatar.audio.stream.FeatureStream`."""
        rest = self._normaliser.push(self._mel.finish())
        return self._emit(np.concatenate([rest, np.full((_REACH.after, N_MELS), SILENT, np.float32)]))

    def _emit(self, mel: np.ndarray) -> np.ndarray:
        self._heard = np.concatenate([self._heard, mel])
        # The frame to come is centred on the first one after what the network sees before it.
        n = max(0, (len(self._heard) - _REACH.before - _REACH.after + 1) // 2)
        if n == 0:
            return np.zeros((0, DIMENSION), np.float32)
        told = mouth_of(viseme_network(), self._heard[None, : _REACH.before + 2 * n - 1 + _REACH.after])[0]
        self._heard = self._heard[2 * n :]
        return told


def _silence() -> Float32[np.ndarray, "29"]:
    """What the network makes of what is outside of sounds."""
    mel = np.full((1, _REACH.before + 1 + _REACH.after, N_MELS), SILENT, np.float32)
    return mouth_of(viseme_network(), mel)[0, 0]


VISEME = VisemeFeature()


def build() -> VisemeFeature:
    """The one there is; its network is read when it is first used."""
    return VISEME
