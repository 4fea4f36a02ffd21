"""Log-mel features of speech, their normalisation, and the windows that one video frame sees.

Time axis: feature frame j is centred at ``j * 0.01`` s and looks at 25 ms of sound
around it. Video frame i at 25 fps covers ``[0.04 i, 0.04 (i + 1))`` s; its window is
centred on the middle of that, feature frame ``4 i + 2``, and reaches 160 ms to either
side. Everything that video frame i needs has therefore been heard
:data:`LOOKAHEAD_SECONDS` after the middle of the frame, and nothing later is ever used
except the statistics of whole-file normalisation, for which :class:`RunningNormaliser`
is the streaming counterpart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32, Int

from gaussavatar.types import ANALYSIS_RATE, VIDEO_FPS, Waveform

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

WINDOW_RADIUS = 16
"""Feature frames to either side of the middle of a video frame: 160 ms."""

WINDOW_LENGTH = 2 * WINDOW_RADIUS + 1
LOOKAHEAD_SECONDS = WINDOW_RADIUS / MEL_RATE + FFT_WINDOW / 2 / ANALYSIS_RATE
"""Sound needed after the middle of a video frame: 0.1725 s."""

_DEPTH = 8.0
"""Log power (nats, 35 dB) below the mean of speech where everything counts as silence."""

_SPEECH_SHARE = 0.75
_GAP_PRIOR = 4.5
_WITHIN_STD_PRIOR = 1.6
_PRIOR_FRAMES = 50.0
_MIN_CONTRAST = 2.3
_CLIP = 3.5


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


def _log_mel_of_padded(samples: np.ndarray, n: int) -> np.ndarray:
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


def n_mel_frames(n_samples: int) -> int:
    """Feature frames of a sound of ``n_samples``: those whose centre lies inside it, both ends included."""
    return n_samples // HOP + 1


def log_mel(waveform: Waveform) -> Float32[np.ndarray, "t 40"]:
    """Natural logarithm of 40 mel band powers at 100 Hz, frame j centred at j * 0.01 s.

    Sound before the start and after the end counts as digital silence.

    Args:
        waveform: mono sound at 16 kHz.

    Raises:
        ValueError: the sample rate is another one.
    """
    samples = _checked_samples(waveform)
    n = n_mel_frames(len(samples))
    half = FFT_WINDOW // 2
    return _log_mel_of_padded(np.pad(samples, (half, half + HOP)), n)


class MelStream:
    """The same features from sound that arrives in pieces of any length.

    Concatenating what :meth:`push` and :meth:`finish` return gives :func:`log_mel` of
    the whole. Feature frame j comes out as soon as 12.5 ms after its centre are there.
    """

    def __init__(self) -> None:
        self._pending = np.zeros(FFT_WINDOW // 2, np.float32)
        self._n_samples = 0
        self._n_frames = 0

    def push(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t 40"]:
        """Take 16 kHz samples and return the feature frames that became complete."""
        samples = np.asarray(samples, np.float32)
        self._n_samples += len(samples)
        self._pending = np.concatenate([self._pending, samples])
        n = max(0, (len(self._pending) - FFT_WINDOW) // HOP + 1)
        return self._emit(n)

    def finish(self) -> Float32[np.ndarray, "t 40"]:
        """Return the remaining frames, as if digital silence followed."""
        n = n_mel_frames(self._n_samples) - self._n_frames
        self._pending = np.pad(self._pending, (0, FFT_WINDOW + HOP))
        return self._emit(n)

    def _emit(self, n: int) -> np.ndarray:
        out = _log_mel_of_padded(self._pending, n)
        self._pending = self._pending[n * HOP :]
        self._n_frames += n
        return out


@dataclass(frozen=True)
class AudioStatistics:
    """What one recording's log-mel is normalised with, per band.

    ``mean`` and ``std`` are those of a mixture of 75 % speech and 25 % pauses, so they
    do not depend on how much of the file is silent; values under ``floor`` (35 dB under
    this recording's speech) count as silence and are raised to it.
    """

    mean: Float32[np.ndarray, "40"]
    std: Float32[np.ndarray, "40"]
    floor: Float32[np.ndarray, "40"]

    @property
    def silence(self) -> Float32[np.ndarray, "40"]:
        """The normalised value of digital silence."""
        return np.clip((self.floor - self.mean) / self.std, -_CLIP, _CLIP)


def loudness(mel: Float32[np.ndarray, "*b 40"]) -> Float32[np.ndarray, "*b"]:
    """Natural logarithm of the power in all bands together."""
    top = mel.max(-1)
    return top + np.log(np.exp(mel - top[..., None]).sum(-1))


def speech_activity(mel: Float32[np.ndarray, "t 40"]) -> Float32[np.ndarray, "t"]:
    """How much each feature frame belongs to speech rather than to a pause, 0..1.

    The 10th and 98th percentiles of the loudness are taken as the levels of pauses and of
    speech, and a soft threshold lies at 45 % of the way in decibels. A sound whose
    loudness does not vary by 10 dB has no speech in it.
    """
    level = loudness(mel)
    loud = float(np.percentile(level, 98))
    level = np.maximum(level, loud - 2.0 * _DEPTH)
    quiet = float(np.percentile(level, 10))
    contrast = loud - quiet
    if contrast < _MIN_CONTRAST:
        return np.zeros(len(mel), np.float32)
    z = (level - (quiet + 0.45 * contrast)) / (0.06 * contrast)
    return (1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0)))).astype(np.float32)


def mel_statistics(mel: Float32[np.ndarray, "t 40"]) -> AudioStatistics:
    """Statistics of a recording, sane also when it is very short or almost all silence.

    Speech and pauses are averaged apart and mixed 75 : 25. Half a second of typical
    speech (4.5 nats above the pauses, spread 1.6) is blended in, which decides where one
    of the two is missing: a file without any speech is normalised to silence, not to an
    average sound.
    """
    if len(mel) == 0:
        mel = np.full((1, N_MELS), LOG_FLOOR, np.float32)
    mel = mel.astype(np.float64)
    active = speech_activity(mel)[:, None].astype(np.float64)
    n_speech, n_pause = float(active.sum()), float((1.0 - active).sum())
    speech = (active * mel).sum(0) / max(n_speech, 1e-9)
    pause = ((1.0 - active) * mel).sum(0) / max(n_pause, 1e-9)
    if n_speech < 1.0:
        speech = pause + _GAP_PRIOR
    if n_pause < 1.0:
        pause = speech - _GAP_PRIOR
    clamped = np.maximum(mel, speech - _DEPTH)
    pause = np.maximum(pause, speech - _DEPTH)
    pause_guess, speech_guess = speech - _GAP_PRIOR, pause + _GAP_PRIOR
    k = _PRIOR_FRAMES
    mean_speech = ((active * clamped).sum(0) + k * speech_guess) / (n_speech + k)
    mean_pause = (((1.0 - active) * clamped).sum(0) + k * pause_guess) / (n_pause + k)
    if n_speech < 1.0:
        mean_pause = pause
    square_speech = (active * (clamped - mean_speech) ** 2).sum(0)
    square_pause = ((1.0 - active) * (clamped - mean_pause) ** 2).sum(0)
    var_speech = (square_speech + k * _WITHIN_STD_PRIOR**2) / (n_speech + k)
    var_pause = (square_pause + k * (0.5 * _WITHIN_STD_PRIOR) ** 2) / (n_pause + k)
    share = _SPEECH_SHARE
    mean = share * mean_speech + (1.0 - share) * mean_pause
    between = share * (1.0 - share) * (mean_speech - mean_pause) ** 2
    std = np.sqrt(share * var_speech + (1.0 - share) * var_pause + between)
    # A band without signal (a band-limited file) must not have its noise blown up.
    std = np.maximum(std, 0.5 * np.median(std))
    return AudioStatistics(*(a.astype(np.float32) for a in (mean, std, mean_speech - _DEPTH)))


def normalise(
    mel: Float32[np.ndarray, "t 40"], statistics: AudioStatistics | None = None
) -> Float32[np.ndarray, "t 40"]:
    """Per-band mean and variance normalisation, with the recording's own statistics where none are given."""
    s = mel_statistics(mel) if statistics is None else statistics
    return np.clip((np.maximum(mel, s.floor) - s.mean) / s.std, -_CLIP, _CLIP).astype(np.float32)


class RunningNormaliser:
    """Normalisation of features that arrive in pieces; the result does not depend on the pieces.

    The statistics are those of the last ``memory_seconds`` heard so far, taken anew
    after 0.1, 0.2, 0.4 s and then every 0.5 s, and blended in over the half second that
    follows. Warm-up: while less than about two seconds of speech were heard, the built-in
    expectation of speech (:func:`mel_statistics`) or, where given, ``initial`` (the
    statistics of an earlier session on the same microphone) still carries weight.
    """

    _REFRESH = 50
    _EARLY = (10, 20, 40)

    def __init__(self, initial: AudioStatistics | None = None, memory_seconds: float = 30.0) -> None:
        self._memory = int(memory_seconds * MEL_RATE)
        self._heard: list[np.ndarray] = []
        self._n = 0
        self._initial = initial
        self._now = initial
        self._next = initial

    @property
    def statistics(self) -> AudioStatistics | None:
        """The newest statistics; None before anything was heard."""
        return self._next

    def push(self, mel: Float32[np.ndarray, "t 40"]) -> Float32[np.ndarray, "t 40"]:
        """Take raw log-mel frames and return them normalised, same length."""
        out = np.empty_like(mel, dtype=np.float32)
        start = 0
        while start < len(mel):
            stop = min(len(mel), start + self._until_refresh())
            out[start:stop] = self._push_between(np.asarray(mel[start:stop], np.float32))
            start = stop
        return out

    def _until_refresh(self) -> int:
        if self._n == 0:
            return 1
        for early in self._EARLY:
            if self._n < early:
                return early - self._n
        return self._REFRESH - self._n % self._REFRESH

    def _push_between(self, mel: np.ndarray) -> np.ndarray:
        first = self._n
        self._heard.append(mel)
        self._n += len(mel)
        if first == 0 and self._next is None:
            self._now = self._next = mel_statistics(mel)
        assert self._now is not None and self._next is not None
        progress = np.minimum(1.0, (np.arange(first, self._n) % self._REFRESH + 1) / self._REFRESH)[:, None]
        if self._n <= self._REFRESH:
            progress = np.ones((len(mel), 1))
        mean, std, floor = (
            (1.0 - progress) * a + progress * b for a, b in zip(_arrays(self._now), _arrays(self._next), strict=True)
        )
        out = np.clip((np.maximum(mel, floor) - mean) / std, -_CLIP, _CLIP)
        if self._n in self._EARLY or self._n % self._REFRESH == 0:
            self._refresh()
        return out.astype(np.float32)

    def _refresh(self) -> None:
        heard = np.concatenate(self._heard)[-self._memory :]
        self._heard = [heard]
        fresh = mel_statistics(heard)
        if self._initial is not None:
            trust = min(1.0, self._n / (2.0 * MEL_RATE))
            fresh = AudioStatistics(
                *(
                    ((1.0 - trust) * a + trust * b).astype(np.float32)
                    for a, b in zip(_arrays(self._initial), _arrays(fresh), strict=True)
                )
            )
        self._now, self._next = self._next, fresh


def _arrays(statistics: AudioStatistics) -> Iterator[np.ndarray]:
    return iter((statistics.mean, statistics.std, statistics.floor))


def window_centres(
    frames: Int[np.ndarray, "b"], fps: float = VIDEO_FPS, offset_frames: float = 0.0
) -> Int[np.ndarray, "b"]:
    """Feature frame at the middle of each video frame, ``offset_frames`` video frames later."""
    return np.rint((np.asarray(frames) + 0.5 + offset_frames) * (MEL_RATE / fps)).astype(np.int64)


def windows(
    mel: Float32[np.ndarray, "t 40"],
    n_frames: int,
    fps: float = VIDEO_FPS,
    *,
    offset_frames: float = 0.0,
    fill: Float32[np.ndarray, "40"] | float | None = None,
) -> Float32[np.ndarray, "n_frames 33 40"]:
    """The features that each video frame sees: +-160 ms around its middle.

    Args:
        mel: raw or normalised features.
        n_frames: video frames wanted, from the start of the sound.
        fps: video frames per second.
        offset_frames: shift of the windows towards later sound, in video frames
            (see :func:`gaussavatar.audio.offset.estimate_av_offset`).
        fill: what stands before the start and after the end; per-band minimum by
            default. ``AudioStatistics.silence`` is right for normalised features.
    """
    edge = np.asarray(mel.min(0) if fill is None and len(mel) else (LOG_FLOOR if fill is None else fill), np.float32)
    centres = window_centres(np.arange(n_frames), fps, offset_frames)
    index = centres[:, None] + np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1)
    padded = np.concatenate([mel.astype(np.float32), np.broadcast_to(edge, (1, mel.shape[1]))])
    return padded[np.where((index < 0) | (index >= len(mel)), len(mel), index)]
