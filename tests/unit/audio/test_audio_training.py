from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.mel import FACTS, MEL, mel_statistics
from gaussavatar.audio.features.mel_bands import N_MELS
from gaussavatar.audio.normalise import normalise
from gaussavatar.audio.pretrain import AudioPretrainConfig, pretrain_encoder, reliable_shares
from gaussavatar.audio.targets import lip_displacement
from gaussavatar.audio.windows import windows
from gaussavatar.landmarks.indices import LIPS_OUTER
from gaussavatar.types import FaceMotion

from .sounds import babble, generator, mel_voices, own_normalised

SMALL = AudioPretrainConfig(
    steps=200, batch=64, hidden=24, members=2, average=0.97, batches=BatchConfig(versions=6, plain_versions=3)
)

ONE, FOUR = BatchConfig(versions=1, plain_versions=1), BatchConfig(versions=4, plain_versions=2)


def bank(mel: np.ndarray, config: AudioPretrainConfig, seed: int) -> AudioBatcher:
    return AudioBatcher(MEL, mel_voices(mel, config.batches, seed), config.batches, seed)


def test_encoder_is_small_and_its_answer_is_the_mean_of_its_members() -> None:
    encoder = AudioEncoder(EncoderConfig(12)).eval()
    assert sum(p.numel() for p in encoder.parameters()) <= 100_000
    encoder.centre.fill_(2.0)
    encoder.spread.fill_(3.0)
    x = torch.randn((5, FACTS.window.length, N_MELS), generator=generator())
    each = encoder.each(x)
    assert each.shape[1:] == (5, 12)
    torch.testing.assert_close(encoder(x), 2.0 + 3.0 * each.mean(0))
    assert float((each[0] - each[1]).detach().abs().max()) > 1e-3
    assert encoder(x).shape == (5, 12)


def test_encoder_members_are_convolutions_over_time() -> None:
    encoder = AudioEncoder(EncoderConfig(3, members=1, linear=False)).eval()
    x = torch.randn((4, FACTS.window.length, N_MELS), generator=generator())
    stem = encoder.stem
    weight = stem.weight[0].reshape(stem.kernel, N_MELS, -1).permute(2, 1, 0)
    wanted = torch.nn.functional.conv1d(x.transpose(1, 2), weight, stem.bias[0, 0], stride=stem.stride)
    torch.testing.assert_close(stem(x[None])[0].transpose(1, 2), wanted, atol=1e-5, rtol=1e-4)


def test_batcher_gathers_what_windows_gives_and_follows_its_generator() -> None:
    mel = babble(800)
    batcher = AudioBatcher(MEL, mel_voices(mel, FOUR), FOUR, seed=3)
    frames = torch.tensor([0, 3, 100, 199])
    statistics = mel_statistics(mel)
    wanted = windows(normalise(mel, statistics), 200, FACTS.window, fill=statistics.silence)[frames.numpy()]
    np.testing.assert_allclose(batcher.clean(frames).numpy(), wanted, atol=1e-6)
    one, two = (batcher.sample(frames, generator(5)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, batcher.sample(frames, generator(6)))
    again = AudioBatcher(MEL, mel_voices(mel, FOUR), FOUR, seed=3)
    assert torch.equal(again.sample(frames, generator(5)), one)
    quiet = batcher.silence(32, generator(1))
    assert quiet.shape == (32, FACTS.window.length, N_MELS)
    assert float(quiet.mean()) < -0.8
    assert batcher.every_version(frames).shape == (4, 4, FACTS.window.length, N_MELS)


def test_batcher_offset_shifts_the_windows() -> None:
    mel = babble(800)
    late = AudioBatcher(MEL, mel_voices(mel, ONE), replace(ONE, offset_frames=2.0))
    plain = AudioBatcher(MEL, mel_voices(mel, ONE), ONE)
    torch.testing.assert_close(late.clean(torch.tensor([50])), plain.clean(torch.tensor([52])))


@pytest.fixture(scope="module")
def learnt() -> tuple[AudioEncoder, np.ndarray, np.ndarray, np.ndarray]:
    mel = babble(2400, seed=4)
    n = 600
    rng = np.random.default_rng(0)
    normalised = own_normalised(mel)
    seen = windows(normalised, n, FACTS.window)[:, 10:23]
    truth = seen.reshape(n, -1) @ rng.standard_normal((13 * N_MELS, 3)) / 20
    truth[:, 0] = seen[:, :, 5:15].mean((1, 2))
    targets = (truth * [1.0, 0.1, 10.0] + [0.5, 0.0, 3.0]).astype(np.float32)
    train = np.arange(n) < 480
    encoder = pretrain_encoder(bank(mel, SMALL, 0), targets, train, np.float32([-2.0, 0.0, 3.0]), SMALL, seed=0).encoder
    return encoder, mel, targets, train


def test_pretraining_learns_a_linear_motion_and_knows_the_time(learnt) -> None:
    encoder, mel, targets, train = learnt
    batcher = AudioBatcher(MEL, mel_voices(mel, ONE), ONE)
    held_out = torch.from_numpy(np.flatnonzero(~train))[:-10]
    with torch.no_grad():
        in_time = encoder(batcher.clean(held_out)).numpy()
        shifted = encoder(batcher.clean(held_out + 8)).numpy()
    real = targets[held_out.numpy()]
    for column in range(3):
        assert np.corrcoef(in_time[:, column], real[:, column])[0, 1] > 0.8
        assert np.corrcoef(shifted[:, column], real[:, column])[0, 1] < 0.5


def test_pretraining_knows_what_it_heard(learnt) -> None:
    encoder, mel, _, _ = learnt
    batcher = AudioBatcher(MEL, mel_voices(mel, ONE), ONE)
    clean = batcher.clean(torch.arange(10, 400))
    assert encoder.heard is not None and encoder.config.heard == 30
    moved = encoder.heard(clean, 1.0) - clean
    far = clean + 5.0 * torch.randn(40, generator=generator(2))
    assert moved.square().mean() < 0.1 * clean.square().mean()
    assert (encoder.heard(far, 1.0) - far).square().mean() > 20.0 * moved.square().mean()


def test_pretraining_closes_the_mouth_in_silence(learnt) -> None:
    encoder, mel, targets, _ = learnt
    batcher = bank(mel, SMALL, 77)
    with torch.no_grad():
        silent = encoder(batcher.silence(200, generator(9))).numpy()
    pause_to_speech = targets[:, 0].std()
    assert abs(silent[:, 0].mean() - -2.0) < 1.2 * pause_to_speech
    assert silent[:, 0].mean() < targets[:, 0].mean() - pause_to_speech


def test_pretraining_repeats_for_a_seed_and_leaves_the_global_chance_alone() -> None:
    mel = babble(600, seed=1)
    targets = np.random.default_rng(0).standard_normal((150, 2)).astype(np.float32)
    config = AudioPretrainConfig(steps=5, batch=16, hidden=8, batches=BatchConfig(versions=2, plain_versions=1))
    states, before = [], torch.random.get_rng_state()
    for _ in range(2):
        encoder = pretrain_encoder(
            bank(mel, config, 4), targets, np.ones(150, bool), np.zeros(2, np.float32), config, seed=4
        ).encoder
        states.append(encoder.state_dict())
        torch.rand(3)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    torch.random.set_rng_state(before)
    pretrain_encoder(bank(mel, config, 4), targets, np.ones(150, bool), np.zeros(2, np.float32), config, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not encoder.training


def test_pretraining_refuses_too_little_and_damaged_targets() -> None:
    mel = babble(600)
    targets = np.zeros((150, 2), np.float32)
    with pytest.raises(ValueError, match="50 frames"):
        pretrain_encoder(bank(mel, SMALL, 0), targets, np.arange(150) < 20, np.zeros(2, np.float32), SMALL, seed=0)
    targets[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pretrain_encoder(bank(mel, SMALL, 0), targets, np.ones(150, bool), np.zeros(2, np.float32), SMALL, seed=0)


def test_reliable_shares_keep_what_is_true_and_still_what_is_not() -> None:
    rng = np.random.default_rng(2)
    real = rng.standard_normal((400, 3)).astype(np.float32)
    guess = rng.standard_normal((400, 3)).astype(np.float32)
    predicted = np.stack([real[:, 0], 0.25 * real[:, 1] + 0.75 * guess[:, 1], guess[:, 2]], 1)
    shares = reliable_shares(predicted, real, np.array([1.0, 1.0, 0.01], np.float32))
    assert shares[0] > shares[1] > shares[2]
    assert shares[0] > 0.85 and shares[2] < 0.6
    assert np.square(shares * predicted - real).mean() < np.square(predicted - real).mean()
    assert reliable_shares(-real, real, np.ones(3, np.float32)).max() == 0.0


def test_codes_that_sound_does_not_tell_are_narrowed_where_asked() -> None:
    mel = babble(1600, seed=5)
    rng = np.random.default_rng(3)
    seen = own_normalised(mel)[2::4][:400, 5:15].mean(1)
    targets = np.stack([seen, rng.standard_normal(400)], 1).astype(np.float32)
    config = dataclasses.replace(SMALL, steps=30, batches=BatchConfig(versions=2, plain_versions=2))
    spreads = []
    for folds in (0, 4):
        encoder = pretrain_encoder(
            bank(mel, config, 0),
            targets,
            np.ones(400, bool),
            np.zeros(2, np.float32),
            dataclasses.replace(config, shrink_folds=folds),
            0,
        ).encoder
        spreads.append(encoder.spread.numpy())
    share = spreads[1] / spreads[0]
    assert share[0] > 0.8 and share[1] < 0.7


def test_a_code_that_moves_the_lips_more_is_learnt_better() -> None:
    """Two codes that contradict each other's use of one hidden channel: the weight decides which is kept."""
    mel = babble(1600, seed=6)
    targets = np.random.default_rng(4).standard_normal((400, 2)).astype(np.float32)
    config = dataclasses.replace(
        SMALL,
        steps=150,
        hidden=2,
        members=1,
        linear=False,
        dropout=0.0,
        silence_share=0.02,
        batches=BatchConfig(versions=1, plain_versions=1),
    )
    batcher = bank(mel, config, 0)
    errors = []
    for displacement in ([1.0, 0.1], [0.1, 1.0]):
        encoder = pretrain_encoder(
            batcher,
            targets,
            np.ones(400, bool),
            np.zeros(2, np.float32),
            config,
            0,
            displacement=np.array(displacement, np.float32),
        ).encoder
        with torch.no_grad():
            errors.append(np.square(encoder(batcher.clean(torch.arange(400))).numpy() - targets).mean(0))
    assert errors[0][0] < errors[1][0] and errors[1][1] < errors[0][1]


def test_one_grimace_pulls_a_robust_encoder_less() -> None:
    mel = babble(800, seed=7)
    targets = np.zeros((200, 1), np.float32)
    targets[::20] = 8.0
    targets += 0.1 * np.random.default_rng(0).standard_normal((200, 1)).astype(np.float32)
    config = dataclasses.replace(SMALL, steps=80, linear=False, batches=BatchConfig(versions=2, plain_versions=2))
    middles = []
    for robust in (0.0, 0.2):
        encoder = pretrain_encoder(
            bank(mel, config, 0),
            targets,
            np.ones(200, bool),
            np.zeros(1, np.float32),
            dataclasses.replace(config, robust=robust),
            0,
        ).encoder
        with torch.no_grad():
            middles.append(
                float(encoder(torch.randn((300, FACTS.window.length, N_MELS), generator=generator())).median())
            )
    assert middles[1] < middles[0]


def test_lip_displacement_ranks_codes_by_how_far_they_move_the_lips() -> None:
    basis = np.zeros((3, 478, 3), np.float32)
    basis[0, list(LIPS_OUTER[:6]), 1] = 0.004
    basis[1, list(LIPS_OUTER[:6]), 1] = 0.001
    basis[2, 1] = 0.01  # The nose's tip is no lip.
    empty = np.zeros((1, 0), np.float32)
    motion = FaceMotion(
        np.zeros((1, 3), np.float32),
        basis,
        empty,
        np.zeros((0, 478, 3), np.float32),
        (),
        *2 * [np.zeros(1, np.float32)],
    )
    moved = lip_displacement(motion)
    assert moved[0] == pytest.approx(4 * moved[1], rel=1e-5) and moved[1] > 0
    assert moved[2] == pytest.approx(np.median(moved[:2]), rel=1e-5)
