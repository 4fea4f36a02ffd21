"""What features have in common whose columns are numbers of no known scale, with or without one of loudness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.audio.features.mel import mel_statistics, speech_activity
from gaussavatar.audio.features.mel_bands import MEL_RATE, N_MELS, log_mel
from gaussavatar.audio.gate import GateConfig, silence_gate
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.stream import n_centred_frames
from gaussavatar.media.samples import stretches
from gaussavatar.types import Waveform

_SPEECH_SHARE = 0.75
_PRIOR_FRAMES = 25.0
_UNBOUNDED = np.float32(-1e9)
"""A floor that raises nothing."""


def speech_statistics(
    raw: Float[np.ndarray, "t d"], activity: Float[np.ndarray, "t"], spread: float
) -> AudioStatistics:
    """Mean and deviation of a mixture of 75 % speech and 25 % pauses, whatever the recording's own mixture is.

    Args:
        raw: any columns.
        activity: how much each frame is speech, 0..1.
        spread: the deviation that is expected of a column; it weighs as much as 25 frames.
    """
    if len(raw) == 0:
        raw, activity = np.zeros((1, raw.shape[1])), np.zeros(1)
    weights = np.stack([activity, 1.0 - activity], 1).astype(np.float64)
    totals = weights.sum(0)
    parts = zip(stretches(weights), stretches(raw), strict=True)
    means = sum(weight.T @ part for weight, part in parts) / np.maximum(totals, 1e-9)[:, None]
    # Where one of the two is missing, the other stands for it.
    speech, pause = (means[k] if totals[k] >= 1.0 else means[1 - k] for k in (0, 1))
    shares = np.where(totals.min() >= 1.0, [_SPEECH_SHARE, 1.0 - _SPEECH_SHARE], totals >= 1.0)
    mean = shares[0] * speech + shares[1] * pause
    parts = zip(stretches(weights), stretches(raw), strict=True)
    squares = sum(weight.T @ (part - mean) ** 2 for weight, part in parts)
    square = (shares / np.maximum(totals, 1e-9)) @ squares
    n = len(raw)
    std = np.sqrt((n * square + _PRIOR_FRAMES * spread**2) / (n + _PRIOR_FRAMES))
    floor = np.full(raw.shape[1], _UNBOUNDED)
    return AudioStatistics(mean.astype(np.float32), std.astype(np.float32), floor, pause.astype(np.float32))


def loudness_column(waveform: Waveform, rate: int) -> Float32[np.ndarray, "t 1"]:
    """Log-mel's mean over the bands at another rate of a whole share of 100 Hz, frame j centred at ``j / rate`` s."""
    n = n_centred_frames(len(waveform.samples), waveform.rate // rate)
    return log_mel(waveform).mean(1, keepdims=True)[:: MEL_RATE // rate][:n]


def loudness_activity(level: Float[np.ndarray, "t"]) -> Float32[np.ndarray, "t"]:
    """How much each frame belongs to speech, as log-mel tells it (:func:`~.mel.speech_activity`) of its mean level."""
    return speech_activity(_as_bands(level)) if len(level) else np.zeros(0, np.float32)


def loudness_statistics(level: Float[np.ndarray, "t"]) -> AudioStatistics:
    """Of one column of loudness: log-mel's, so that the gate's threshold means the same."""
    of_bands = mel_statistics(_as_bands(level))
    return AudioStatistics(*(getattr(of_bands, name)[:1] for name in ("mean", "std", "floor", "quiet")))


def loudness_gate(levels: Float32[np.ndarray, "n w"], rate: int, config: GateConfig | None) -> Float[np.ndarray, "n"]:
    """The gate of log-mel, for normalised loudness at another rate."""
    config = config or GateConfig()
    return silence_gate(levels, replace(config, hold=config.hold * rate // MEL_RATE))


def _as_bands(level: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t 40"]:
    return np.broadcast_to(level[:, None], (len(level), N_MELS))
