"""Voices and rooms that the training recording did not have, made as sound.

What :mod:`gaussavatar.audio.features.mel_augment` does to log-mel, for features that listen to the sound: the same
:class:`gaussavatar.audio.features.api.AugmentConfig` and the same spread, with every sample where it was, so that the
lips of the recording belong to each version. Needs 16 kHz. A ``torch.Generator`` is the only source of chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.fft import next_fast_len
from scipy.signal import oaconvolve
from torch import Tensor

from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.mel import PAUSE_PERCENTILE, speech_activity
from gaussavatar.audio.features.mel_augment import smooth_curve, uniform, unwarped
from gaussavatar.audio.features.mel_bands import (
    FFT_SIZE,
    FFT_WINDOW,
    HOP,
    LOG_FLOOR,
    N_MELS,
    log_mel,
    mel_frequencies,
    white_noise_mel,
)
from gaussavatar.types import ANALYSIS_RATE, Waveform

_ENVELOPE_QUEFRENCY = 30
"""Samples of the cepstrum that make the envelope: 1.9 ms, under the period of a voice of 500 Hz."""

_SPECTRUM_FLOOR = 1e-7
"""Power under which a bin counts as empty; a full-scale sine has 1e4 in it, so this is -110 dB."""

_PIECE = 60 * ANALYSIS_RATE
_CONTEXT = 5 * HOP
"""A long sound is filtered in pieces, each with more around it than a window reaches."""

_HEADROOM = 0.98
_MAINS_HZ = (50.0, 60.0)
_HUM_LEVELS = (2.0, 2.5, 1.0, 1.5, -0.5, -1.0)
"""Nats over the room's noise of a hum's first harmonics."""


@dataclass(frozen=True)
class DrawnVoice:
    """What chance says of another voice in another room: all of it but the work.

    Attributes:
        factor: of the vocal tract's length.
        colour: equaliser and level, nats of power per mel band.
        tail: of the room; None for none.
        snr: nats from speech down to the noise.
        noise: its colour and the white noise that it is made of; None for none.
    """

    factor: float
    colour: Float[Tensor, "40"]
    tail: Float32[np.ndarray, "t"] | None
    snr: float
    noise: tuple[Float[Tensor, "1 40"], Float32[Tensor, "1 size"]] | None


@dataclass(frozen=True)
class DrawnPauses:
    """What chance says of made-up pauses: how far each lies over a recording's own, and what is heard in it."""

    over: Float[Tensor, "n 1"]
    under: Float[Tensor, "n 40"]
    kind: Float[Tensor, "n"]
    white: Float32[Tensor, "n size"]
    mains: Float[Tensor, "n"]
    hum: Float[Tensor, "n"]
    phase: Float[Tensor, "n harmonics"]
    breath: Float32[Tensor, "n size"]
    swell: Float[Tensor, "n length"]


def other_sound(waveform: Waveform, config: AugmentConfig, generator: torch.Generator) -> Waveform:
    """One other voice in another room saying the same: as many samples, peaks below one, the timing kept.

    The spectral envelope (low part of the cepstrum) of every 25 ms is stretched as another vocal tract would do it,
    while the pitch stays; then come a decaying tail, a smooth equaliser, a level, a limit to the lower bands and
    coloured noise, each as likely and as strong as ``config`` says.

    Raises:
        ValueError: the sample rate is not 16 kHz.
    """
    return said_by(draw_voice(len(_checked(waveform)), config, generator), waveform)


def draw_voice(length: int, config: AugmentConfig, generator: torch.Generator) -> DrawnVoice:
    """All chance of :func:`other_sound` for so many samples."""
    factor = float(uniform((1,), config.warp_low, config.warp_high, generator))
    colour = smooth_curve(1, config.equaliser, generator)[0] + uniform((1,), -config.level, config.level, generator)
    if _happens(config.band_limit_probability, generator):
        cut = int(torch.randint(26, N_MELS, (1,), generator=generator))
        colour[cut:] -= 1.5 * torch.arange(1, N_MELS - cut + 1)
    tail, snr, noise = None, 0.0, None
    if _happens(config.reverb_probability, generator):
        seconds, share = (float(uniform((1,), *span, generator)) for span in ((0.1, 0.5), (0.1, 0.6)))
        tail = _reverb_tail(seconds, share, generator)
    if _happens(config.noise_probability, generator):
        snr = float(uniform((1,), config.snr_low, config.snr_high, generator)) * math.log(10.0) / 10.0
        noise = smooth_curve(1, 1.0, generator), white_noise(1, length, generator)
    return DrawnVoice(factor, colour, tail, snr, noise)


def said_by(voice: DrawnVoice, waveform: Waveform) -> Waveform:
    """The work of :func:`other_sound`, with nothing left to chance.

    Raises:
        ValueError: the sample rate is not 16 kHz.
    """
    out = _filtered(torch.from_numpy(_checked(waveform)), voice.factor, _at_bins(voice.colour, FFT_SIZE))
    if voice.tail is not None:
        out = out + oaconvolve(out, voice.tail)[: len(out)].astype(np.float32)
    if voice.noise is not None:
        curve, white = voice.noise
        out = out + _coloured(white, curve + float(_speech_level(out) - voice.snr), len(out))[0].numpy()
    peak = float(np.abs(out).max(initial=0.0))
    return replace(waveform, samples=np.asarray(out * min(1.0, _HEADROOM / max(peak, 1e-9)), np.float32))


def pause_sound(n: int, seconds: float, heard: Waveform, generator: torch.Generator) -> list[Waveform]:
    """Stretches without speech, as a recording's pauses sound.

    A fifth is digital silence; the rest is room noise in the colour of the pauses of ``heard``, a fifth of all with
    mains hum and its harmonics, a quarter of all with a breath: a slow swell of broad noise.

    Args:
        n: how many.
        seconds: length of each.
        heard: a recording, or only its pauses; 16 kHz.
        generator: the only source of chance.

    Raises:
        ValueError: the sample rate is not 16 kHz.
    """
    return pauses_of(draw_pauses(n, seconds, generator), heard)


def draw_pauses(n: int, seconds: float, generator: torch.Generator) -> DrawnPauses:
    """All chance of :func:`pause_sound`."""
    length = round(seconds * ANALYSIS_RATE)
    return DrawnPauses(
        over=uniform((n, 1), -4.0, 0.8, generator),
        under=smooth_curve(n, 0.7, generator),
        kind=torch.rand((n,), generator=generator),
        white=white_noise(n, length, generator),
        mains=torch.tensor(_MAINS_HZ)[torch.randint(len(_MAINS_HZ), (n,), generator=generator)],
        hum=uniform((n,), -1.0, 2.0, generator),
        phase=uniform((n, len(_HUM_LEVELS)), 0.0, 2.0 * math.pi, generator),
        breath=white_noise(n, length, generator),
        swell=_swell(n, length, generator),
    )


def pauses_of(drawn: DrawnPauses, heard: Waveform) -> list[Waveform]:
    """The work of :func:`pause_sound`, with nothing left to chance.

    Raises:
        ValueError: the sample rate is not 16 kHz.
    """
    length, kind = drawn.swell.shape[1], drawn.kind
    room = _pause_level(heard) + drawn.over - drawn.under
    out = _coloured(drawn.white, room, length)
    hum = _hum(room, drawn, length)
    breath = _coloured(drawn.breath, room + torch.linspace(-1.0, 1.2, N_MELS), length) * drawn.swell
    out = torch.where((kind > 0.55)[:, None] & (kind <= 0.75)[:, None], out + hum, out)
    out = torch.where((kind > 0.75)[:, None], out + breath, out)
    out = torch.where((kind < 0.2)[:, None], torch.zeros_like(out), out)
    out = out * (_HEADROOM / out.abs().amax(1, keepdim=True).clamp_min(_HEADROOM)) if length else out
    return [Waveform(one, ANALYSIS_RATE) for one in out.numpy()]


def coloured_noise(
    level: Float[Tensor, "n 40"], length: int, generator: torch.Generator
) -> Float32[Tensor, "n length"]:
    """Steady Gaussian noise whose mean power in each mel band is the exponential of ``level``."""
    return _coloured(white_noise(len(level), length, generator), level, length)


def white_noise(n: int, length: int, generator: torch.Generator) -> Float32[Tensor, "n size"]:
    """Gaussian noise, of a size whose spectrum is quick to take, and that is at least ``length``."""
    if length == 0:
        return torch.zeros((n, 0))
    return torch.randn((n, next_fast_len(length, real=True)), generator=generator)


def _coloured(
    white: Float32[Tensor, "n size"], level: Float[Tensor, "n 40"], length: int
) -> Float32[Tensor, "n length"]:
    size = white.shape[1]
    if size == 0:
        return white
    density = level - torch.from_numpy(np.log(white_noise_mel()).astype(np.float32))
    spectrum = torch.fft.rfft(white) * torch.exp(0.5 * _at_bins(density, size))
    return torch.fft.irfft(spectrum, size)[:, :length]


def _checked(waveform: Waveform) -> np.ndarray:
    if waveform.rate != ANALYSIS_RATE:
        raise ValueError(f"other voices are made at {ANALYSIS_RATE} samples per second, got {waveform.rate}")
    return np.ascontiguousarray(waveform.samples, np.float32)


def _happens(probability: float, generator: torch.Generator) -> bool:
    return float(torch.rand((1,), generator=generator)) < probability


def _at_bins(level: Float[Tensor, "*n 40"], size: int) -> Float[Tensor, "*n bins"]:
    """Values at the mel bands' centres, at the bins of a spectrum of ``size`` samples; held beyond the ends."""
    centres = mel_frequencies()[1:-1]
    position = np.interp(np.fft.rfftfreq(size, 1.0 / ANALYSIS_RATE), centres, np.arange(N_MELS))
    left = np.minimum(position.astype(np.int64), N_MELS - 2)
    weight = torch.from_numpy((position - left).astype(np.float32))
    index = torch.from_numpy(left)
    return level[..., index] * (1.0 - weight) + level[..., index + 1] * weight


@cache
def _envelope_basis() -> tuple[np.ndarray, np.ndarray]:
    """From log spectrum to the low cepstrum, and cosine quefrencies for the way back."""
    bins = FFT_SIZE // 2 + 1
    order = np.arange(_ENVELOPE_QUEFRENCY)
    weight = np.full(bins, 2.0)
    weight[[0, -1]] = 1.0
    lifter = np.where(order == 0, 1.0, 2.0) * (0.5 + 0.5 * np.cos(np.pi * order / _ENVELOPE_QUEFRENCY))
    forth = np.cos(2 * np.pi * np.outer(np.arange(bins), order) / FFT_SIZE) * weight[:, None] / FFT_SIZE * lifter
    return forth, order


def _warp_gain(factor: float) -> Float32[Tensor, "bins bins"]:
    """The linear map from a log power spectrum to what a warp of its envelope adds to it."""
    forth, order = _envelope_basis()
    bins = np.arange(len(forth))
    nyquist = ANALYSIS_RATE / 2
    frequency = bins * (nyquist / bins[-1])
    source = unwarped(frequency, factor, nyquist) / nyquist
    back = np.cos(np.pi * np.outer(order, source)) - np.cos(np.pi * np.outer(order, frequency / nyquist))
    return torch.from_numpy((forth @ back).astype(np.float32))


def _filtered(samples: Float32[Tensor, "t"], factor: float, colour: Float[Tensor, "bins"]) -> Float32[np.ndarray, "t"]:
    """The sound with its envelope warped and ``colour`` (nats of power) laid over it."""
    gain, window = _warp_gain(factor), torch.hann_window(FFT_WINDOW)
    out = np.empty(len(samples), np.float32)
    settings = {"n_fft": FFT_SIZE, "hop_length": HOP, "win_length": FFT_WINDOW, "window": window, "center": True}
    for start in range(0, len(samples), _PIECE):
        stop = min(len(samples), start + _PIECE)
        first = max(0, start - _CONTEXT)
        part = samples[first : stop + _CONTEXT]
        spectrum = torch.stft(part, **settings, pad_mode="constant", return_complex=True)
        power = torch.log(spectrum.real.square() + spectrum.imag.square() + _SPECTRUM_FLOOR)
        change = torch.exp(0.5 * (gain.T @ power + colour[:, None]))
        heard = torch.istft(spectrum * change, **settings, length=len(part))
        out[start:stop] = heard[start - first : stop - first].numpy()
    return out


def _reverb_tail(seconds: float, share: float, generator: torch.Generator) -> Float32[np.ndarray, "t"]:
    """Noise that decays by 60 dB in ``seconds``; ``share`` is its power against the direct sound."""
    n = round(seconds * ANALYSIS_RATE)
    tail = torch.randn((n,), generator=generator) * torch.exp(-6.9 * torch.arange(n) / n)
    return (tail * math.sqrt(share) / tail.norm()).numpy()


def _speech_level(samples: Float32[np.ndarray, "t"]) -> float:
    """Log power of speech, a mean over the bands; of long sounds twenty seconds spread over them tell it."""
    whole = len(samples) // ANALYSIS_RATE
    if whole > 20:
        chosen = np.linspace(0, whole - 1, 20).astype(np.int64)
        samples = samples[: whole * ANALYSIS_RATE].reshape(whole, -1)[chosen].reshape(-1)
    mel = log_mel(Waveform(samples, ANALYSIS_RATE))
    return float(np.quantile(mel, 0.75, axis=0).mean())


def _pause_level(heard: Waveform) -> Float[Tensor, "40"]:
    """Log power of the pauses of a recording, per band."""
    mel = log_mel(Waveform(_checked(heard), heard.rate))
    pausing = mel[speech_activity(mel) < 0.5]
    mel = pausing if len(pausing) else mel
    return torch.from_numpy(np.percentile(mel, PAUSE_PERCENTILE, axis=0).clip(LOG_FLOOR).astype(np.float32))


def _hum(room: Float[Tensor, "n 40"], drawn: DrawnPauses, length: int) -> Float32[Tensor, "n length"]:
    """Mains and their harmonics over the lowest bands of a room's noise."""
    level = room[:, : len(_HUM_LEVELS)].mean(1) + drawn.hum
    time = torch.arange(length) / ANALYSIS_RATE
    out = torch.zeros((len(room), length))
    for k, over in enumerate(_HUM_LEVELS):
        turns = 2.0 * math.pi * (k + 1) * drawn.mains[:, None] * time
        out += torch.exp(0.5 * (level + over))[:, None] * torch.sin(turns + drawn.phase[:, k : k + 1])
    return out


def _swell(n: int, length: int, generator: torch.Generator) -> Float[Tensor, "n length"]:
    """Amplitude of a breath over time: it rises and falls once, up to 10 dB above the room."""
    time = torch.linspace(0.0, 1.0, length)
    centre, width = uniform((n, 1), 0.2, 0.8, generator), uniform((n, 1), 0.1, 0.35, generator)
    height = torch.exp(0.5 * 2.3 * torch.rand((n, 1), generator=generator))
    return height * torch.exp(-0.5 * ((time - centre) / width) ** 2)
