from __future__ import annotations

import numpy as np
import pytest
import torch

from gaussavatar.audio.drive import DriveConfig, codes_for_audio, codes_for_windows
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.energy import frame_energy, frame_level_db, frame_power, silent_frames
from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.offset import estimate_av_offset, ridge_block_prediction
from gaussavatar.audio.targets import audio_targets, closed_target
from gaussavatar.bench.lips import LipsBenchConfig, bench_lips
from gaussavatar.errors import UserError
from gaussavatar.motion.track import frames_of_seconds
from gaussavatar.types import ANALYSIS_RATE, FaceMotion, Waveform

from .sounds import SENTENCE, long_speech, own_windows, spoken


def test_power_is_that_of_the_frame() -> None:
    samples = np.zeros(ANALYSIS_RATE, np.float32)
    samples[640 * 10 : 640 * 11] = 0.5
    power = frame_power(Waveform(samples, ANALYSIS_RATE), 25)
    assert power.argmax() == 10
    assert 0.1 < power[10] < 0.25
    assert power[12] == 0.0
    steady = frame_power(Waveform(np.full(ANALYSIS_RATE, 0.5, np.float32), ANALYSIS_RATE), 30)
    np.testing.assert_allclose(steady[2:22], 0.25, rtol=1e-5)
    assert (steady[27:] == 0.0).all()  # Beyond the end of the sound.


def test_energy_grows_with_loudness_and_tops_at_one() -> None:
    ramp = np.linspace(0, 0.5, 2 * ANALYSIS_RATE) * np.sin(np.arange(2 * ANALYSIS_RATE) * 0.3)
    energy = frame_energy(Waveform(ramp.astype(np.float32), ANALYSIS_RATE), 50)
    assert energy.max() == pytest.approx(1.0)
    assert (np.diff(energy[1:48]) > 0).all()
    assert frame_energy(Waveform(np.zeros(100, np.float32), ANALYSIS_RATE), 3).tolist() == [0, 0, 0]
    assert len(frame_energy(Waveform(np.zeros(0, np.float32), ANALYSIS_RATE), 0)) == 0


def test_silent_frames_are_the_pauses_and_not_the_short_gaps() -> None:
    waveform = spoken("abcd.efgh..........abcd")
    silent = silent_frames(waveform, frames_of_seconds(waveform.seconds))
    seconds = (np.arange(len(silent)) + 0.5) / 25
    assert silent[(seconds > 1.0) & (seconds < 1.8)].all()
    assert not silent[(seconds < 0.85) | (seconds > 1.95)].any()
    level = frame_level_db(waveform, len(silent))
    assert level[silent].max() < level[~silent].mean() - 15.0
    hum = Waveform(0.1 * np.sin(np.arange(32000) * 0.1).astype(np.float32), ANALYSIS_RATE)
    assert silent_frames(hum, 45).all()


def random_encoder(n_codes: int = 4) -> AudioEncoder:
    torch.manual_seed(0)
    encoder = AudioEncoder(EncoderConfig(n_codes, hidden=8)).eval()
    encoder.centre.fill_(0.5)
    return encoder


def test_codes_cover_the_sound_and_close_in_silence() -> None:
    encoder, waveform = random_encoder(), spoken(SENTENCE)
    closed = np.float32([-3.0, 0.0, 1.0, 2.0])
    codes = codes_for_audio(encoder, waveform, closed=closed)
    assert codes.shape == (frames_of_seconds(waveform.seconds), 4) and codes.dtype == np.float32
    silent = silent_frames(waveform, len(codes))
    inside = np.array([silent[max(0, i - 4) : i + 5].all() for i in range(len(codes))])
    assert inside.sum() > 10
    np.testing.assert_allclose(codes[inside], np.broadcast_to(closed, codes[inside].shape), atol=0.2)
    assert np.abs(codes[~silent] - closed).mean() > 1.0
    assert codes_for_audio(encoder, waveform, closed=closed, n_frames=300).shape == (300, 4)


def test_gain_widens_around_the_centre() -> None:
    encoder, waveform = random_encoder(), spoken(SENTENCE)
    closed = np.zeros(4, np.float32)
    one, two = (
        codes_for_audio(encoder, waveform, closed=closed, config=DriveConfig(gain, gate=None)) for gain in (1.0, 2.0)
    )
    np.testing.assert_allclose(two - 0.5, 2.0 * (one - 0.5), atol=1e-5)
    seen = own_windows(waveform, len(one))
    small = codes_for_windows(encoder, seen, closed=closed, config=DriveConfig(1.0, None, batch=7))
    np.testing.assert_allclose(small, one, atol=1e-5)


def test_level_and_channel_of_the_driving_sound_do_not_matter() -> None:
    encoder, waveform = random_encoder(), spoken(SENTENCE)
    closed = np.zeros(4, np.float32)
    loud = codes_for_audio(encoder, waveform, closed=closed)
    quiet = codes_for_audio(encoder, Waveform(waveform.samples * 0.1, ANALYSIS_RATE), closed=closed)
    assert np.abs(loud - quiet).mean() < 0.03 * loud.std()


def test_sound_that_cannot_drive_is_refused_in_words() -> None:
    encoder, closed = random_encoder(), np.zeros(4, np.float32)
    with pytest.raises(UserError, match="without a single sample"):
        codes_for_audio(encoder, Waveform(np.zeros(0, np.float32), ANALYSIS_RATE), closed=closed)
    with pytest.raises(UserError, match="NaN"):
        codes_for_audio(encoder, Waveform(np.full(100, np.nan, np.float32), ANALYSIS_RATE), closed=closed)
    assert codes_for_audio(encoder, Waveform(np.zeros(3, np.float32), ANALYSIS_RATE), closed=closed).shape == (1, 4)


def lips_of(waveform: Waveform, n: int) -> np.ndarray:
    """An aperture that follows the low bands, smoothed over 50 ms, half a frame ahead of the sound as real lips are."""
    seen = own_windows(waveform, n)
    return (0.05 + 0.02 * seen[:, 16:21, 5:20].mean((1, 2))).astype(np.float32)


@pytest.mark.parametrize("shift", [-10, -4, -1, 0, 1, 4, 10])
def test_offset_is_found_to_half_a_frame(shift: int) -> None:
    waveform = long_speech()
    mel = log_mel(waveform)
    found = estimate_av_offset(mel, np.roll(lips_of(waveform, 600), -shift))
    assert found is not None and found.trusted
    assert found.milliseconds == pytest.approx(40 * shift, abs=20)


def test_offset_between_frames_and_with_lost_frames() -> None:
    waveform = long_speech()
    late = Waveform(np.roll(waveform.samples, 90 * 16), ANALYSIS_RATE)
    aperture, used = lips_of(waveform, 600), np.ones(600, bool)
    aperture[100:180], used[100:180] = 1e3, False
    found = estimate_av_offset(log_mel(late), aperture, used)
    assert found is not None and found.trusted and found.milliseconds == pytest.approx(90, abs=20)


def test_no_offset_is_claimed_where_sound_and_lips_have_nothing_to_do_with_each_other() -> None:
    mel = log_mel(long_speech())
    for seed in range(8):
        walk = np.random.default_rng(seed).standard_normal(606)
        lips = np.convolve(walk, np.hanning(7), "valid").astype(np.float32)
        found = estimate_av_offset(mel, lips)
        assert found is None or not found.trusted
    assert estimate_av_offset(mel, np.ones(600, np.float32)) is None
    assert estimate_av_offset(mel[:400], lips[:100]) is None
    assert estimate_av_offset(np.full((2400, 40), -25.0, np.float32), lips) is None


def test_block_prediction_never_learns_from_its_block() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3)).astype(np.float32)
    y = (x @ np.float32([[1.0], [2.0], [0.0]])).astype(np.float32)
    np.testing.assert_allclose(ridge_block_prediction(x, y, blocks=4, penalty=1e-6), y, atol=1e-3)
    broken = y.copy()
    broken[50:100] += 100.0
    alone = ridge_block_prediction(x, broken, blocks=4, penalty=1e-6)
    np.testing.assert_allclose(alone[50:100], y[50:100], atol=1e-3)


def motion_of(aperture: np.ndarray) -> FaceMotion:
    n = len(aperture)
    codes = np.stack([(aperture - aperture.mean()) / aperture.std(), np.cos(np.arange(n) * 0.7)], 1)
    return FaceMotion(
        mouth_codes=codes.astype(np.float32),
        mouth_basis=np.zeros((2, 478, 3), np.float32),
        upper=np.zeros((n, 1), np.float32),
        upper_basis=np.zeros((1, 478, 3), np.float32),
        upper_names=("blink",),
        aperture=aperture,
        width=(0.5 - aperture).astype(np.float32),
    )


def test_targets_and_the_closed_mouth() -> None:
    motion = motion_of(np.linspace(0.0, 0.1, 100).astype(np.float32))
    targets = audio_targets(motion)
    assert targets.shape == (100, 4)
    np.testing.assert_array_equal(targets[:, 2], motion.aperture)
    closed = closed_target(motion)
    assert closed[2] < 0.005 and closed[0] < -1.4


def test_lips_bench_rewards_lips_that_follow_the_sound() -> None:
    from gaussavatar.audio.batches import BatchConfig
    from gaussavatar.audio.pretrain import AudioPretrainConfig

    waveform = long_speech()
    pretrain = AudioPretrainConfig(
        steps=60, batch=64, hidden=16, average=0.9, batches=BatchConfig(versions=3, plain_versions=2)
    )
    config = LipsBenchConfig(blocks=3, pretrain=pretrain)
    aperture = lips_of(waveform, 600)
    good = bench_lips(waveform, motion_of(aperture), config)
    other = bench_lips(waveform, motion_of(lips_of(long_speech(seed=9), 600)), config)
    assert good["aperture_r"] > 0.8 and good["drop"] > 0.4 and good["ridge_aperture_r"] > 0.8
    assert other["aperture_r"] < 0.35
    assert len(good["blocks"]) == 3
    assert good["aperture_r"] == pytest.approx(np.mean([b["aperture_r"] for b in good["blocks"]]))
    assert 0.5 < good["gated_aperture_r"] < 1.0 and good["gated_aperture_r"] != good["aperture_r"]
    assert good["codes_r"][1] < 0.5  # A code that the sound does not carry.
