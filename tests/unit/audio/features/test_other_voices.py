"""Other voices and made-up pauses as sound, against what log-mel's own augmentation makes of the same recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.mel import PAUSE_PERCENTILE, speech_activity
from gaussavatar.audio.features.mel_augment import augment_mel, silence_mel
from gaussavatar.audio.features.mel_bands import LOG_FLOOR, log_mel
from gaussavatar.audio.features.other_voices import coloured_noise, other_sound, pause_sound
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..sounds import generator, long_speech

NOTHING = AugmentConfig(
    warp_low=1.0, warp_high=1.0, equaliser=0.0, noise_probability=0.0, level=0.0, band_limit_probability=0.0,
    reverb_probability=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def heard() -> Waveform:
    return long_speech(16)


def test_without_any_change_the_sound_comes_back(heard: Waveform) -> None:
    for length in (0, 1, 159, 4001, len(heard.samples)):
        part = Waveform(heard.samples[:length], ANALYSIS_RATE)
        same = other_sound(part, NOTHING, generator()).samples
        assert same.shape == (length,) and same.dtype == np.float32
        np.testing.assert_allclose(same, part.samples, atol=2e-5)


def test_a_seed_gives_one_sound_and_another_seed_another(heard: Waveform) -> None:
    config = AugmentConfig()
    first, again, other = (other_sound(heard, config, generator(seed)).samples for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_versions_spread_as_those_of_log_mel_do_and_keep_the_timing(heard: Waveform) -> None:
    config, mel = AugmentConfig(), log_mel(heard)
    speaking = speech_activity(mel) > 0.5
    chance = generator()
    versions = [log_mel(other_sound(heard, config, chance)) for _ in range(24)]
    chance = generator()
    wanted = [augment_mel(torch.from_numpy(mel), config, chance).numpy() for _ in range(24)]
    ours, theirs = (np.stack([(one - mel)[speaking].mean(0) for one in them]).std(0) for them in (versions, wanted))
    assert 0.7 < ours[:25].mean() / theirs[:25].mean() < 1.5
    loudness = mel.mean(1)[20:-20]
    for one in versions:
        level = one.mean(1)
        agreement = [np.corrcoef(level[20 + lag : len(level) - 20 + lag], loudness)[0, 1] for lag in range(-20, 21)]
        assert abs(int(np.argmax(agreement)) - 20) <= 1


def test_a_warp_moves_the_resonances_and_not_the_pitch() -> None:
    t = np.arange(ANALYSIS_RATE) / ANALYSIS_RATE
    sizes = [np.exp(-(((110.0 * k - 1500.0) / 300.0) ** 2)) + 1e-3 for k in range(1, 60)]
    voice = sum(size * np.sin(2 * np.pi * 110.0 * k * t + k * k) for k, size in enumerate(sizes, 1))
    sound = Waveform((0.2 * voice).astype(np.float32), ANALYSIS_RATE)
    warped = other_sound(sound, replace(NOTHING, warp_low=1.2, warp_high=1.2), generator())
    spectra = [np.abs(np.fft.rfft(one.samples)) for one in (sound, warped)]
    centres = [(np.arange(len(s)) * s**2).sum() / (s**2).sum() for s in spectra]
    assert centres[0] == pytest.approx(1500, abs=40) and centres[1] == pytest.approx(1800, abs=80)
    loudest = np.argsort(spectra[1])[-5:]
    assert np.all(np.abs(loudest - 110 * np.rint(loudest / 110)) <= 1)


def test_peaks_stay_below_one_where_a_loud_sound_is_made_louder(heard: Waveform) -> None:
    loud = Waveform(heard.samples / np.abs(heard.samples).max(), ANALYSIS_RATE)
    chance = generator()
    for _ in range(6):
        assert np.abs(other_sound(loud, AugmentConfig(level=3.0), chance).samples).max() < 1.0


def test_digital_silence_stays_silent_and_noise_is_as_loud_as_asked() -> None:
    silent = Waveform(np.zeros(ANALYSIS_RATE, np.float32), ANALYSIS_RATE)
    assert np.abs(other_sound(silent, AugmentConfig(), generator()).samples).max() < 1e-3
    level = torch.linspace(-6.0, -14.0, 40)[None]
    noise = coloured_noise(level, 4 * ANALYSIS_RATE, generator())[0].numpy()
    measured = np.log(np.exp(log_mel(Waveform(noise, ANALYSIS_RATE))).mean(0))
    np.testing.assert_allclose(measured, level[0], atol=0.35)


def test_a_long_sound_is_filtered_in_pieces_without_a_seam(heard: Waveform, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(NOTHING, warp_low=1.15, warp_high=1.15)
    whole = other_sound(heard, config, generator()).samples
    monkeypatch.setattr("gaussavatar.audio.features.other_voices._PIECE", 2 * ANALYSIS_RATE)
    np.testing.assert_allclose(other_sound(heard, config, generator()).samples, whole, atol=1e-5)


def test_pauses_sound_like_those_of_the_recording(heard: Waveform) -> None:
    made = pause_sound(120, 0.8, heard, generator())
    mels = np.stack([log_mel(one)[5:-5] for one in made])
    assert {len(one.samples) for one in made} == {round(0.8 * ANALYSIS_RATE)}
    dead = (mels.max((1, 2)) < LOG_FLOOR + 0.01).mean()
    assert 0.1 < dead < 0.3
    mel = log_mel(heard)
    level = np.percentile(mel[speech_activity(mel) < 0.5], PAUSE_PERCENTILE, axis=0).astype(np.float32)
    wanted = silence_mel(120, 80, torch.from_numpy(level), generator()).numpy()
    middle, theirs = np.median(mels.mean(1), 0), np.median(wanted.mean(1), 0)
    assert np.abs(middle - theirs)[3:].max() < 1.5
    speech = mel[speech_activity(mel) > 0.5].mean()
    assert np.percentile(mels.mean((1, 2)), 95) < speech - 2.0


def test_pauses_can_be_made_of_a_sound_without_any_and_of_nothing() -> None:
    for samples in (np.zeros(0, np.float32), np.zeros(8000, np.float32), 0.1 * np.ones(8000, np.float32)):
        made = pause_sound(3, 0.4, Waveform(samples, ANALYSIS_RATE), generator())
        assert len(made) == 3 and all(np.isfinite(one.samples).all() for one in made)
    assert pause_sound(2, 0.0, Waveform(np.zeros(0, np.float32), ANALYSIS_RATE), generator())[0].samples.size == 0


def test_only_the_rate_of_analysis_is_taken() -> None:
    with pytest.raises(ValueError, match="16000"):
        other_sound(Waveform(np.zeros(100, np.float32), 8000), AugmentConfig(), generator())
