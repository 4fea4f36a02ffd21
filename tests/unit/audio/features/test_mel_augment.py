from __future__ import annotations

import numpy as np
import pytest
import torch

from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.mel_augment import augment_mel, reverberate, silence_mel, vocal_tract_warp
from gaussavatar.audio.features.mel_bands import LOG_FLOOR, N_MELS, mel_frequencies

from ..sounds import babble, generator


def test_vocal_tract_warp_moves_a_resonance_by_its_factor() -> None:
    centres = mel_frequencies()[1:-1]
    peak = torch.from_numpy(np.exp(-(((np.arange(N_MELS) - 15.0) / 1.5) ** 2)).astype(np.float32))[None]
    for factor in (0.82, 1.0, 1.22):
        warped = vocal_tract_warp(peak, factor)
        where = float((warped[0] * torch.arange(N_MELS)).sum() / warped.sum())
        heard = np.interp(where, np.arange(N_MELS), centres)
        assert heard == pytest.approx(factor * centres[15], rel=0.03)
    flat = torch.linspace(-3, -9, N_MELS)[None]
    assert (vocal_tract_warp(flat, 1.22)[0, -1] - flat[0, -1]).abs() < 1e-3


def test_augmentation_keeps_shape_and_timing_and_follows_the_seed() -> None:
    mel = torch.from_numpy(babble(600))
    a, b, c = (augment_mel(mel, AugmentConfig(), generator(s)) for s in (1, 1, 2))
    assert a.shape == mel.shape and torch.isfinite(a).all() and float(a.min()) >= LOG_FLOOR
    assert torch.equal(a, b) and not torch.equal(a, c)
    loud, was = a.mean(1), mel.mean(1)
    assert np.corrcoef(loud.numpy(), was.numpy())[0, 1] > 0.6


def test_reverberation_only_adds_and_decays() -> None:
    mel = torch.full((100, N_MELS), -18.0)
    mel[20:25] = -5.0
    wet = reverberate(mel, 0.3, 0.5)
    assert (wet >= mel - 1e-4).all()
    # 60 dB in 0.3 s are 0.46 nats per 10 ms.
    slope = (wet[40] - wet[30]) / 10
    assert float(slope.mean()) == pytest.approx(-13.8 * 0.01 / 0.3, rel=0.15)


def test_silence_is_below_speech_and_varied() -> None:
    mel = babble(2000)
    quiet = torch.from_numpy(np.percentile(mel, 10, axis=0).astype(np.float32))
    raw = silence_mel(64, 40, quiet, generator())
    assert raw.shape == (64, 40, N_MELS)
    assert float(raw.mean()) < float(mel.mean()) - 2.0
    assert (raw == LOG_FLOOR).all(-1).all(-1).any()  # Some of it is digital silence.
    assert float(raw.mean((1, 2)).std()) > 0.5
