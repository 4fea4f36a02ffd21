from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features.mel import mel_statistics, speech_activity
from gaussavatar.audio.features.mel_bands import HOP, LOG_FLOOR, N_MELS, log_mel, mel_frequencies
from gaussavatar.audio.normalise import AudioStatistics, normalise
from gaussavatar.audio.stream import n_centred_frames
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..sounds import own_normalised, speech_like


def test_a_tone_lands_in_its_band_with_full_scale_near_zero() -> None:
    centres = mel_frequencies()[1:-1]
    for band in (5, 20, 35):
        t = np.arange(ANALYSIS_RATE) / ANALYSIS_RATE
        mel = log_mel(Waveform(np.sin(2 * np.pi * centres[band] * t).astype(np.float32), ANALYSIS_RATE))
        middle = mel[50]
        assert middle.argmax() == band
        assert -1.0 < middle[band] < 1.5


def test_frame_count_time_axis_and_silence() -> None:
    samples = np.zeros(ANALYSIS_RATE, np.float32)
    samples[8000] = 1.0
    mel = log_mel(Waveform(samples, ANALYSIS_RATE))
    assert mel.shape == (n_centred_frames(ANALYSIS_RATE, HOP), N_MELS) == (101, 40)
    assert mel.sum(1).argmax() == 50  # The click at 0.5 s is seen best by the frame centred at 0.5 s.
    assert mel[0] == pytest.approx(LOG_FLOOR)
    with pytest.raises(ValueError, match="16000"):
        log_mel(Waveform(samples, 22050))


def test_normalisation_takes_out_channel_and_level() -> None:
    mel = log_mel(speech_like(12.0))
    tilt = np.linspace(-2.0, 2.0, N_MELS).astype(np.float32)
    plain, coloured = own_normalised(mel), own_normalised(mel + tilt + 1.5)
    assert np.abs(plain - coloured).mean() < 0.05
    assert abs(plain.mean()) < 0.35
    assert 0.6 < plain.std() < 1.3


def test_normalised_speech_does_not_depend_on_how_much_silence_surrounds_it() -> None:
    speech = speech_like(6.0)
    quiet = (1e-3 * np.random.default_rng(1).standard_normal(60 * ANALYSIS_RATE)).astype(np.float32)
    buried = Waveform(np.concatenate([quiet[: len(quiet) // 2], speech.samples, quiet[len(quiet) // 2 :]]), 16000)
    alone, inside = own_normalised(log_mel(speech)), own_normalised(log_mel(buried))[3000:3601]
    assert np.abs(alone[5:-5] - inside[5:-5]).mean() < 0.25
    # Plain mean and variance over the file would put the same speech far above.
    mel = log_mel(buried)
    naive = ((mel - mel.mean(0)) / mel.std(0))[3000:3601]
    assert np.abs(alone[5:-5] - naive[5:-5]).mean() > 0.8


@pytest.mark.parametrize("kind", ["digital", "room", "hum"])
def test_a_file_without_speech_is_normalised_to_silence(kind: str) -> None:
    n = 3 * ANALYSIS_RATE
    t = np.arange(n) / ANALYSIS_RATE
    noise = np.random.default_rng(0).standard_normal(n)
    sound = {"digital": 0 * t, "room": 0.01 * noise, "hum": 0.05 * np.sin(2 * np.pi * 50 * t) + 1e-3 * noise}[kind]
    mel = log_mel(Waveform(sound.astype(np.float32), ANALYSIS_RATE))
    assert speech_activity(mel)[5:-5].max() < 0.5
    out = own_normalised(mel)
    assert np.isfinite(out).all()
    assert out.mean() < -0.9  # Speech lies around +0.4 on this scale, pauses around -1.4.


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.05, 0.5])
def test_very_short_files_are_sane(seconds: float) -> None:
    mel = log_mel(Waveform(speech_like(1.0).samples[: int(seconds * 16000)], ANALYSIS_RATE))
    s = mel_statistics(mel)
    assert np.isfinite(s.mean).all() and (s.std > 0.3).all()
    assert np.isfinite(normalise(mel, s)).all()


def test_digital_silence_has_the_announced_value() -> None:
    mel = log_mel(speech_like(5.0))
    s = mel_statistics(mel)
    assert isinstance(s, AudioStatistics)
    np.testing.assert_allclose(normalise(np.full((1, N_MELS), LOG_FLOOR, np.float32), s)[0], s.silence, atol=1e-6)
