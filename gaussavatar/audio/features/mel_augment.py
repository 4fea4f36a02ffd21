"""Voices and rooms that the training recording did not have, made from its log-mel.

Everything works on raw log-mel of shape (t, 40), in batches (v, t, 40), with a
``torch.Generator`` as the only source of chance.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.mel_bands import LOG_FLOOR, N_MELS, POWER_FLOOR, mel_frequencies


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Numbers of even chance between two."""
    return low + (high - low) * torch.rand(shape, generator=generator)


@cache
def _mel_centres() -> np.ndarray:
    return mel_frequencies()[1:-1]


def unwarped(frequency: Float[np.ndarray, "n"], factor: float, top: float) -> Float[np.ndarray, "n"]:
    """Where a frequency (Hz) lay before a warp by ``factor``, which fades from 4.8 kHz to ``top``."""
    knee = 4800.0 / max(factor, 1.0)
    return np.where(
        frequency <= knee * factor,
        frequency / factor,
        knee + (frequency - knee * factor) * (top - knee) / (top - knee * factor),
    )


def vocal_tract_warp(mel: Float[Tensor, "t 40"], factor: float) -> Float[Tensor, "t 40"]:
    """Move every resonance from frequency f to ``factor * f``, as another vocal-tract length would.

    A factor above one is a shorter tract (a child), below one a longer. Above 4.8 kHz
    the warp goes linearly back to the identity at the top of the band, as in vocal-tract
    length normalisation (Lee and Rose 1996), so that no band runs empty.
    """
    centres = _mel_centres()
    position = np.interp(unwarped(centres, factor, centres[-1]), centres, np.arange(N_MELS))
    left = np.clip(np.floor(position).astype(int), 0, N_MELS - 2)
    weight = torch.from_numpy((position - left).astype(np.float32))
    return mel[..., left] * (1.0 - weight) + mel[..., left + 1] * weight


def smooth_curve(n: int, spread: float, generator: torch.Generator) -> Float[Tensor, "n 40"]:
    """Random smooth curves over the bands: six cosines of falling size, standard deviation ``spread``."""
    order = torch.arange(1, 7)
    phase = (torch.arange(N_MELS) + 0.5) / N_MELS
    basis = torch.cos(torch.pi * order[:, None] * phase) / order[:, None].sqrt()
    basis = basis / basis.square().sum(0).mean().sqrt()
    return spread * torch.randn((n, 6), generator=generator) @ basis


def stationary_noise(shape: tuple[int, int], generator: torch.Generator) -> Float[Tensor, "n t 40"]:
    """Log power of steady coloured noise around 0, with the fluctuation of a 25 ms analysis.

    A band of the spectrum of Gaussian noise has a chi-square distributed power with as
    many degrees of freedom as bins and overlapping frames allow; a log-normal with a
    spread of 0.35 to 0.8 nats comes close and is cheaper.
    """
    n, t = shape
    spread = torch.linspace(0.8, 0.35, N_MELS)
    flutter = torch.randn((n, t, N_MELS), generator=generator) * spread
    return smooth_curve(n, 1.0, generator)[:, None] + flutter


def add_power(a: Tensor, b: Tensor) -> Tensor:
    """Logarithm of the sum of two powers given as logarithms."""
    return torch.logaddexp(a, b)


def reverberate(mel: Float[Tensor, "t 40"], seconds: float, share: float) -> Float[Tensor, "t 40"]:
    """Add a tail that decays by 60 dB in ``seconds``; ``share`` is its power against the direct sound."""
    from scipy.signal import lfilter

    decay = float(np.exp(-13.8 * 0.01 / seconds))
    power = np.exp(mel.numpy())
    tail = np.asarray(lfilter([0.0, 1.0 - decay], [1.0, -decay], power, axis=0))
    return torch.from_numpy(np.log(power + share * tail + POWER_FLOOR).astype(np.float32))


def augment_mel(mel: Float[Tensor, "t 40"], config: AugmentConfig, generator: torch.Generator) -> Float[Tensor, "t 40"]:
    """One other voice in another room saying the same: shape and timing stay."""
    one = (1,)
    out = vocal_tract_warp(mel, float(uniform(one, config.warp_low, config.warp_high, generator)))
    if float(torch.rand(one, generator=generator)) < config.reverb_probability:
        seconds = float(uniform(one, 0.1, 0.5, generator))
        out = reverberate(out, seconds, float(uniform(one, 0.1, 0.6, generator)))
    out = out + smooth_curve(1, config.equaliser, generator)
    out = out + uniform(one, -config.level, config.level, generator)
    speech = torch.quantile(out[:: max(1, len(out) // 2000)], 0.75, dim=0).mean()
    if float(torch.rand(one, generator=generator)) < config.band_limit_probability:
        cut = int(torch.randint(26, N_MELS, one, generator=generator))
        out[:, cut:] = (out[:, cut:] - 1.5 * torch.arange(1, N_MELS - cut + 1)).clamp_min(LOG_FLOOR)
    if float(torch.rand(one, generator=generator)) < config.noise_probability:
        snr = float(uniform(one, config.snr_low, config.snr_high, generator)) * math.log(10.0) / 10.0
        out = add_power(out, stationary_noise((1, len(out)), generator)[0] + speech - snr)
    return out.clamp_min(LOG_FLOOR)


def silence_mel(
    n: int, length: int, noise_level: Float[Tensor, "40"], generator: torch.Generator
) -> Float[Tensor, "n length 40"]:
    """Raw log-mel of ``n`` stretches without speech, as they sound in a recording's pauses.

    A fifth is digital silence; the rest is room noise of the recording's own colour
    around ``noise_level`` (its pauses), a quarter of them with mains hum and harmonics in
    the lowest bands, a quarter with a breath: a slow swell of broad noise up to 10 dB
    above the room.
    """
    room = noise_level + uniform((n, 1, 1), -4.0, 0.8, generator)
    out = room + stationary_noise((n, length), generator) - smooth_curve(n, 0.7, generator)[:, None]
    kind = torch.rand((n,), generator=generator)
    hum = torch.full((N_MELS,), -30.0)
    hum[:6] = torch.tensor([2.0, 2.5, 1.0, 1.5, -0.5, -1.0])
    humming = add_power(out, room + hum + uniform((n, 1, 1), -1.0, 2.0, generator))
    time = torch.arange(length) / max(1, length - 1)
    centre, width = uniform((n, 1), 0.2, 0.8, generator), uniform((n, 1), 0.1, 0.35, generator)
    swell = torch.exp(-0.5 * ((time - centre) / width) ** 2)[..., None]
    breath = torch.linspace(-1.0, 1.2, N_MELS) * swell + 2.3 * swell * torch.rand((n, 1, 1), generator=generator)
    out = torch.where((kind > 0.55)[:, None, None], humming, out)
    out = torch.where((kind > 0.75)[:, None, None], add_power(out, out + breath), out)
    out = torch.where((kind < 0.2)[:, None, None], torch.full_like(out, LOG_FLOOR), out)
    return out.clamp_min(LOG_FLOOR)
