"""The feature ``mel``: log-mel, normalised by the levels of a recording's speech and of its pauses."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.audio.features.api import FeatureFacts
from gaussavatar.audio.features.mel_bands import (
    FFT_WINDOW,
    HOP,
    LOG_FLOOR,
    MEL_RATE,
    N_MELS,
    log_mel,
    log_mel_frames,
)
from gaussavatar.audio.features.mel_foreseen import foreseen_mel, share_of_known
from gaussavatar.audio.gate import GateConfig, silence_gate
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.stream import FramedStream
from gaussavatar.audio.windows import Window
from gaussavatar.media.samples import stretches
from gaussavatar.types import ANALYSIS_RATE, Waveform

FACTS = FeatureFacts(
    names=("mel",),
    dimension=N_MELS,
    window=Window(MEL_RATE, 16),
    look_ahead_ms=1000.0 * FFT_WINDOW / 2 / ANALYSIS_RATE,
    streamable=True,
)
"""A video frame sees 160 ms to either side, and needs 172.5 ms of sound after its middle."""

PAUSE_PERCENTILE = 30
"""Level of a recording's pauses: their noise, not the breaths and clicks among them."""

_DEPTH = 8.0
"""Log power (nats, 35 dB) below the mean of speech where everything counts as silence."""

_SPEECH_SHARE = 0.75
_GAP_PRIOR = 4.5
_WITHIN_STD_PRIOR = 1.6
_PRIOR_FRAMES = 50.0
_MIN_CONTRAST = 2.3


def loudness(mel: Float[np.ndarray, "*b 40"]) -> Float[np.ndarray, "*b"]:
    """Natural logarithm of the power in all bands together."""
    top = mel.max(-1)
    return top + np.log(np.exp(mel - top[..., None]).sum(-1))


def speech_activity(mel: Float[np.ndarray, "t 40"]) -> Float32[np.ndarray, "t"]:
    """How much each feature frame belongs to speech rather than to a pause, 0..1.

    The 10th and 98th percentiles of the loudness are taken as the levels of pauses and of
    speech, and a soft threshold lies at 45 % of the way in decibels. A sound whose
    loudness does not vary by 10 dB has no speech in it.
    """
    return _activity(np.concatenate([loudness(part) for part in stretches(mel)]))


def _activity(level: Float[np.ndarray, "t"]) -> Float32[np.ndarray, "t"]:
    loud = float(np.percentile(level, 98))
    level = np.maximum(level, loud - 2.0 * _DEPTH)
    quiet = float(np.percentile(level, 10))
    contrast = loud - quiet
    if contrast < _MIN_CONTRAST:
        return np.zeros(len(level), np.float32)
    z = (level - (quiet + 0.45 * contrast)) / (0.06 * contrast)
    return (1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0)))).astype(np.float32)


def _weighted_sum(
    weights: Float[np.ndarray, "t"],
    mel: Float[np.ndarray, "t 40"],
    lowest: Float[np.ndarray, "40"] | None = None,
    about: Float[np.ndarray, "40"] | None = None,
) -> Float[np.ndarray, "40"]:
    """Weighted sum over all frames of the values, raised to ``lowest``; of their squared distance ``about`` a mean."""
    total = np.zeros((0, mel.shape[1]))
    for part, weight in zip(stretches(mel), stretches(weights), strict=True):
        values = part.astype(np.float64)
        values = values if lowest is None else np.maximum(values, lowest)
        values = values if about is None else (values - about) ** 2
        total = np.concatenate([total, weight[:, None] * values]).sum(0, keepdims=True)
    return total[0]


def mel_statistics(mel: Float[np.ndarray, "t 40"]) -> AudioStatistics:
    """Statistics of a recording, sane also when it is very short or almost all silence.

    ``mean`` and ``std`` are those of a mixture of 75 % speech and 25 % pauses, so they
    do not depend on how much of the file is silent; values under ``floor`` (35 dB under
    this recording's speech) count as silence and are raised to it.

    Speech and pauses are averaged apart and mixed 75 : 25. Half a second of typical
    speech (4.5 nats above the pauses, spread 1.6) is blended in, which decides where one
    of the two is missing: a file without any speech is normalised to silence, not to an
    average sound.
    """
    if len(mel) == 0:
        mel = np.full((1, N_MELS), LOG_FLOOR, np.float32)
    level = np.concatenate([loudness(part.astype(np.float64)) for part in stretches(mel)])
    active = _activity(level).astype(np.float64)
    n_speech, n_pause = float(active.sum()), float((1.0 - active).sum())
    speech = _weighted_sum(active, mel) / max(n_speech, 1e-9)
    pause = _weighted_sum(1.0 - active, mel) / max(n_pause, 1e-9)
    if n_speech < 1.0:
        speech = pause + _GAP_PRIOR
    if n_pause < 1.0:
        pause = speech - _GAP_PRIOR
    lowest = speech - _DEPTH
    pause = np.maximum(pause, lowest)
    pause_guess, speech_guess = speech - _GAP_PRIOR, pause + _GAP_PRIOR
    k = _PRIOR_FRAMES
    mean_speech = (_weighted_sum(active, mel, lowest) + k * speech_guess) / (n_speech + k)
    mean_pause = (_weighted_sum(1.0 - active, mel, lowest) + k * pause_guess) / (n_pause + k)
    if n_speech < 1.0:
        mean_pause = pause
    square_speech = _weighted_sum(active, mel, lowest, mean_speech)
    square_pause = _weighted_sum(1.0 - active, mel, lowest, mean_pause)
    var_speech = (square_speech + k * _WITHIN_STD_PRIOR**2) / (n_speech + k)
    var_pause = (square_pause + k * (0.5 * _WITHIN_STD_PRIOR) ** 2) / (n_pause + k)
    share = _SPEECH_SHARE
    mean = share * mean_speech + (1.0 - share) * mean_pause
    between = share * (1.0 - share) * (mean_speech - mean_pause) ** 2
    std = np.sqrt(share * var_speech + (1.0 - share) * var_pause + between)
    # A band without signal (a band-limited file) must not have its noise blown up.
    std = np.maximum(std, 0.5 * np.median(std))
    floor = (mean_speech - _DEPTH).astype(np.float32)
    return AudioStatistics(mean.astype(np.float32), std.astype(np.float32), floor, quiet=floor)


class MelFeature:
    """Log-mel as an :class:`gaussavatar.audio.features.api.AudioFeature`."""

    @property
    def facts(self) -> FeatureFacts:
        """See :data:`FACTS`."""
        return FACTS

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "t 40"]:
        """See :func:`gaussavatar.audio.features.mel_bands.log_mel`."""
        return log_mel(waveform)

    def stream(self) -> FramedStream:
        """Feature frame j comes out as soon as 12.5 ms after its centre are there."""
        return FramedStream(log_mel_frames, FFT_WINDOW, HOP)

    def statistics(self, raw: Float[np.ndarray, "t 40"]) -> AudioStatistics:
        """See :func:`mel_statistics`."""
        return mel_statistics(raw)

    def activity(self, raw: Float32[np.ndarray, "t 40"]) -> Float32[np.ndarray, "t"]:
        """See :func:`speech_activity`."""
        return speech_activity(raw)

    def foreseen(self, raw: Float32[np.ndarray, "t 40"], own: AudioStatistics) -> AudioStatistics:
        """See :func:`gaussavatar.audio.features.mel_foreseen.foreseen_mel`."""
        if not len(raw):
            return own
        level = loudness(raw.astype(np.float64))
        return foreseen_mel(own, float(np.percentile(level, 98)), float(_activity(level).sum()) / MEL_RATE)

    def recognised(self, known: AudioStatistics, heard: AudioStatistics, seconds: float) -> float:
        """See :func:`gaussavatar.audio.features.mel_foreseen.share_of_known`."""
        return share_of_known(known, heard, seconds)

    def gate(self, windows: Float32[np.ndarray, "n w 40"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """Silence as the mean over the bands tells it."""
        return silence_gate(windows.mean(-1), config)


MEL = MelFeature()


def build() -> MelFeature:
    """The one there is: it holds nothing."""
    return MEL
