from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.mel import (
    LOG_FLOOR,
    N_MELS,
    WINDOW_LENGTH,
    WINDOW_RADIUS,
    AudioStatistics,
    MelStream,
    RunningNormaliser,
    log_mel,
    mel_frequencies,
    mel_statistics,
    n_mel_frames,
    normalise,
    speech_activity,
    windows,
)
from gaussavatar.types import ANALYSIS_RATE, Waveform


def speech_like(seconds: float, seed: int = 0, noise: float = 1e-3) -> Waveform:
    """Bursts of a buzzing voice with moving formants, pauses between them, over steady noise."""
    rng = np.random.default_rng(seed)
    n = int(seconds * ANALYSIS_RATE)
    t = np.arange(n) / ANALYSIS_RATE
    voice = np.zeros(n)
    for harmonic in range(1, 30):
        wobble = np.interp(t, np.arange(0, seconds + 1, 0.15), rng.uniform(0, 1, len(np.arange(0, seconds + 1, 0.15))))
        voice += wobble / harmonic * np.sin(2 * np.pi * 120 * harmonic * t + rng.uniform(0, 6))
    gate = (t / 0.4).astype(int) % 4 != 3
    return Waveform((0.1 * voice * gate + noise * rng.standard_normal(n)).astype(np.float32), ANALYSIS_RATE)


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
    assert mel.shape == (n_mel_frames(ANALYSIS_RATE), N_MELS) == (101, 40)
    assert mel.sum(1).argmax() == 50  # The click at 0.5 s is seen best by the frame centred at 0.5 s.
    assert mel[0] == pytest.approx(LOG_FLOOR)
    with pytest.raises(ValueError, match="16000"):
        log_mel(Waveform(samples, 22050))


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 161, 4321, 48000])
def test_pieces_give_the_whole(n_samples: int) -> None:
    rng = np.random.default_rng(n_samples)
    samples = rng.standard_normal(n_samples).astype(np.float32) * 0.1
    stream, parts, at = MelStream(), [], 0
    while at < n_samples:
        step = int(rng.integers(1, 1000))
        parts.append(stream.push(samples[at : at + step]))
        at += step
    parts.append(stream.finish())
    whole = log_mel(Waveform(samples, ANALYSIS_RATE))
    assert np.concatenate(parts).shape == whole.shape
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-5)


def test_normalisation_takes_out_channel_and_level() -> None:
    mel = log_mel(speech_like(12.0))
    tilt = np.linspace(-2.0, 2.0, N_MELS).astype(np.float32)
    plain, coloured = normalise(mel), normalise(mel + tilt + 1.5)
    assert np.abs(plain - coloured).mean() < 0.05
    assert abs(plain.mean()) < 0.35
    assert 0.6 < plain.std() < 1.3


def test_normalised_speech_does_not_depend_on_how_much_silence_surrounds_it() -> None:
    speech = speech_like(6.0)
    quiet = (1e-3 * np.random.default_rng(1).standard_normal(60 * ANALYSIS_RATE)).astype(np.float32)
    buried = Waveform(np.concatenate([quiet[: len(quiet) // 2], speech.samples, quiet[len(quiet) // 2 :]]), 16000)
    alone, inside = normalise(log_mel(speech)), normalise(log_mel(buried))[3000:3601]
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
    out = normalise(mel)
    assert np.isfinite(out).all()
    assert out.mean() < -0.9  # Speech lies around +0.4 on this scale, pauses around -1.4.


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.05, 0.5])
def test_very_short_files_are_sane(seconds: float) -> None:
    mel = log_mel(Waveform(speech_like(1.0).samples[: int(seconds * 16000)], ANALYSIS_RATE))
    s = mel_statistics(mel)
    assert np.isfinite(s.mean).all() and (s.std > 0.3).all()
    assert np.isfinite(normalise(mel, s)).all()


def test_running_normalisation_ignores_the_pieces_and_ends_near_the_whole_file() -> None:
    mel = log_mel(speech_like(20.0, seed=3))
    whole_push = RunningNormaliser().push(mel)
    rng = np.random.default_rng(0)
    normaliser, parts, at = RunningNormaliser(), [], 0
    while at < len(mel):
        step = int(rng.integers(1, 90))
        parts.append(normaliser.push(mel[at : at + step]))
        at += step
    np.testing.assert_allclose(np.concatenate(parts), whole_push, atol=1e-6)
    late, offline = whole_push[-500:], normalise(mel)[-500:]
    assert np.abs(late - offline).mean() < 0.1
    assert np.abs(whole_push[:20] - normalise(mel)[:20]).mean() > np.abs(late - offline).mean()


def test_running_normalisation_never_looks_ahead() -> None:
    mel = log_mel(speech_like(4.0, seed=5))
    changed = mel.copy()
    changed[200:] += 3.0
    np.testing.assert_array_equal(RunningNormaliser().push(mel)[:200], RunningNormaliser().push(changed)[:200])


def test_initial_statistics_serve_from_the_first_frame() -> None:
    mel = log_mel(speech_like(10.0, seed=6))
    known = mel_statistics(mel)
    offline = normalise(mel, known)
    with_start = np.abs(RunningNormaliser(known).push(mel) - offline)[:100].mean()
    without = np.abs(RunningNormaliser().push(mel) - offline)[:100].mean()
    assert with_start < 0.5 * without


def test_an_impulse_in_the_middle_of_a_frame_shows_up_centred() -> None:
    for frame in (0, 7, 24):
        samples = np.zeros(ANALYSIS_RATE, np.float32)
        samples[int((frame + 0.5) * 640)] = 1.0
        seen = windows(log_mel(Waveform(samples, ANALYSIS_RATE)), 25)
        assert seen.shape == (25, WINDOW_LENGTH, N_MELS)
        assert seen[frame].sum(1).argmax() == WINDOW_RADIUS
        if frame + 1 < 25:
            assert seen[frame + 1].sum(1).argmax() == WINDOW_RADIUS - 4
        shifted = windows(log_mel(Waveform(samples, ANALYSIS_RATE)), 25, offset_frames=-1)
        if frame + 1 < 25:
            assert shifted[frame + 1].sum(1).argmax() == WINDOW_RADIUS


def test_windows_are_filled_outside_the_sound() -> None:
    mel = np.ones((20, N_MELS), np.float32)
    fill = np.full(N_MELS, -2.0, np.float32)
    seen = windows(mel, 10, fill=fill)
    assert (seen[0, :14] == -2.0).all() and (seen[0, 14:] == 1.0).all()
    assert (seen[9] == -2.0).all()
    assert windows(np.zeros((0, N_MELS), np.float32), 2).shape == (2, WINDOW_LENGTH, N_MELS)


def test_digital_silence_has_the_announced_value() -> None:
    mel = log_mel(speech_like(5.0))
    s = mel_statistics(mel)
    assert isinstance(s, AudioStatistics)
    np.testing.assert_allclose(normalise(np.full((1, N_MELS), LOG_FLOOR, np.float32), s)[0], s.silence, atol=1e-6)
