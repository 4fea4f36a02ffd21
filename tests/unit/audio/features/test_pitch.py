from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.other_voices import other_sound
from gaussavatar.audio.features.pitch import LOG_PITCH, PITCH, SLOPE, VOICING, pitch_and_voicing
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..sounds import generator


def voice(hertz: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """A buzz of 20 harmonics whose pitch at every sample is ``hertz``; 0 is silence."""
    phase = 2 * np.pi * np.cumsum(hertz) / ANALYSIS_RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 21)) * (hertz > 0)
    return (0.2 * buzz + noise * np.random.default_rng(0).standard_normal(len(hertz))).astype(np.float32)


@pytest.mark.parametrize("hertz", [75.0, 110.0, 220.0, 400.0])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_steady_pitch_is_found_within_two_percent(hertz: float, noise: float) -> None:
    pitch, voicing = pitch_and_voicing(voice(np.full(ANALYSIS_RATE, hertz), noise))
    assert len(pitch) == 51 and voicing[3:-3].min() > 0.8
    np.testing.assert_allclose(pitch[3:-3], hertz, rtol=0.02)


def test_frame_j_is_centred_at_j_fiftieths_of_a_second() -> None:
    hertz = np.geomspace(100, 300, 2 * ANALYSIS_RATE)
    pitch, _ = pitch_and_voicing(voice(hertz))
    at = np.arange(5, 95)
    # The octave and a half takes two seconds: a frame too early or late would be 1.1 % off.
    assert np.abs(np.log(pitch[at] / hertz[at * 320])).mean() < 0.006


def test_silence_and_noise_are_not_voiced() -> None:
    for sound in (np.zeros(8000), 0.1 * np.random.default_rng(1).standard_normal(8000), np.zeros(0), np.ones(1)):
        pitch, voicing = pitch_and_voicing(sound.astype(np.float32))
        assert (pitch > 0).mean() < 0.05 and voicing.mean() < 0.6
        assert np.isfinite(PITCH.statistics(PITCH.extract(Waveform(sound.astype(np.float32), ANALYSIS_RATE))).std).all()


def test_the_track_leads_on_between_voiced_sounds_and_is_normalised_by_the_speaker() -> None:
    hertz = np.concatenate([np.full(8000, 100.0), np.zeros(8000), np.full(8000, 200.0)])
    raw = PITCH.extract(Waveform(voice(hertz), ANALYSIS_RATE))
    assert raw[38, LOG_PITCH] == pytest.approx(np.log(np.sqrt(2) * 100 / 150), abs=0.1)
    assert raw[38, VOICING] < 0.1 and PITCH.activity(raw)[38] == 0 and PITCH.activity(raw)[20] == 1
    assert raw[23:27, SLOPE].min() < -1 and raw[48:52, SLOPE].max() > 1
    high = PITCH.extract(Waveform(voice(1.5 * hertz), ANALYSIS_RATE))
    ours, theirs = ((one - PITCH.statistics(one).mean) / PITCH.statistics(one).std for one in (raw, high))
    np.testing.assert_allclose(ours[3:-3, LOG_PITCH], theirs[3:-3, LOG_PITCH], atol=0.1)


def test_another_voice_says_it_at_the_same_pitch_and_live_sound_is_refused() -> None:
    sound = Waveform(voice(np.full(ANALYSIS_RATE, 120.0), 0.002), ANALYSIS_RATE)
    raw = PITCH.extract(sound)
    other = PITCH.extract(other_sound(sound, AugmentConfig(noise_probability=0.0), generator()))
    assert np.abs(other - raw)[5:-5, LOG_PITCH].max() < 0.03
    with pytest.raises(UserError, match="live sound, got pitch"):
        PITCH.stream()
