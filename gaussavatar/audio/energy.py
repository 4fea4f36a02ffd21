"""How loud each video frame is, and which frames are silent: the yardstick for lips that follow sound."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32

from gaussavatar.intervals import true_runs
from gaussavatar.media.samples import forget_read
from gaussavatar.types import VIDEO_FPS, Waveform

_SPAN_SECONDS = 0.08
_RANGE_DB = 60.0
_SILENCE_SHARE = 0.35
_MIN_CONTRAST_DB = 10.0
_MIN_SILENCE_FRAMES = 5
_POWER_FLOOR = 1e-10
_FORGET_EVERY = 10_000
"""Frames after which what was read of a sound in a file is let go: 26 MB at 25 frames per second."""


def frame_power(waveform: Waveform, n_frames: int, fps: float = VIDEO_FPS) -> Float32[np.ndarray, "n_frames"]:
    """Mean square of the samples around the middle of each video frame, Hann weighted over 80 ms.

    Frames beyond the end of the sound have no power.
    """
    span = int(_SPAN_SECONDS * waveform.rate)
    weights = np.hanning(span + 2)[1:-1]
    weights /= weights.sum()
    first = np.rint((np.arange(n_frames) + 0.5) * waveform.rate / fps).astype(np.int64)
    samples, power = waveform.samples, np.empty(n_frames, np.float32)
    for i, start in enumerate(first - span // 2):
        heard = np.zeros(span)
        part = samples[max(0, start) : max(0, start + span)]
        heard[max(0, -start) :][: len(part)] = part
        power[i] = np.square(heard) @ weights
        if i % _FORGET_EVERY == 0:
            forget_read(samples)
    return power


def frame_energy(waveform: Waveform, n_frames: int, fps: float = VIDEO_FPS) -> Float32[np.ndarray, "n_frames"]:
    """Loudness of each video frame, 0..1 of the loudest: smoothed power to the 0.3.

    The exponent is Stevens' law of loudness (1955); the power is smoothed over three
    frames with weights 1/4, 1/2, 1/4, so that single periods of a deep voice do not show.
    """
    if n_frames == 0:
        return np.zeros(0, np.float32)
    power = np.pad(frame_power(waveform, n_frames, fps), 1, mode="edge")
    smooth = 0.25 * power[:-2] + 0.5 * power[1:-1] + 0.25 * power[2:]
    loudness = np.maximum(smooth, 0.0) ** 0.3
    return (loudness / max(float(loudness.max()), 1e-12)).astype(np.float32)


def frame_level_db(waveform: Waveform, n_frames: int, fps: float = VIDEO_FPS) -> Float32[np.ndarray, "n_frames"]:
    """Power of each video frame in decibels of full scale, at least 60 dB below the 98th percentile."""
    level = 10.0 * np.log10(frame_power(waveform, n_frames, fps) + _POWER_FLOOR)
    if n_frames == 0:
        return level.astype(np.float32)
    return np.maximum(level, np.percentile(level, 98) - _RANGE_DB).astype(np.float32)


def silent_frames(waveform: Waveform, n_frames: int, fps: float = VIDEO_FPS) -> Bool[np.ndarray, "n_frames"]:
    """Frames in pauses: at least five in a row under the threshold, so that stop consonants do not count.

    The threshold lies 35 % of the way in decibels from the level of pauses (10th
    percentile) to the level of speech (98th). Sound whose level varies by less than
    10 dB is silent throughout.
    """
    if n_frames == 0:
        return np.zeros(0, bool)
    level = frame_level_db(waveform, n_frames, fps)
    quiet, loud = np.percentile(level, [10, 98])
    if loud - quiet < _MIN_CONTRAST_DB:
        return np.ones(n_frames, bool)
    below = level < quiet + _SILENCE_SHARE * (loud - quiet)
    return _runs_of_at_least(below, min(_MIN_SILENCE_FRAMES, n_frames))


def _runs_of_at_least(flags: np.ndarray, length: int) -> np.ndarray:
    kept = np.zeros(len(flags), bool)
    for start, stop in true_runs(flags):
        kept[start:stop] = stop - start >= length
    return kept
