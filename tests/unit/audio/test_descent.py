"""The steps of pre-training as an accelerator takes them: the same descent, without a word to the host."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from gaussavatar.audio import descent, pretrain
from gaussavatar.audio.batches import AudioBatcher, BatchConfig, Voice
from gaussavatar.audio.descent import Schedule, Task, bank_on
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.mel import FACTS, MEL
from gaussavatar.audio.features.mel_bands import N_MELS
from gaussavatar.audio.pretrain import AudioPretrainConfig, pretrain_encoder
from gaussavatar.audio.windows import windows

from .sounds import babble, generator, mel_voices, own_normalised

CPU = torch.device("cpu")
SMALL = AudioPretrainConfig(
    steps=120, batch=64, hidden=24, members=2, average=0.97, batches=BatchConfig(versions=6, plain_versions=3)
)


@pytest.fixture
def as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pre-training on the CPU takes the steps that it takes on another device."""
    steps = pretrain._descend_on
    monkeypatch.setattr(
        pretrain, "_descent", lambda heard, device, advance, say: partial(steps, bank_on(CPU, heard), advance, say)
    )


def fit(seed: int = 0, steps: int = SMALL.steps, advance=None) -> tuple[AudioEncoder, float]:
    """An encoder that learnt what can be learnt, and how well it tells frames that it never heard."""
    mel, n = babble(2400, seed=4), 600
    rng = np.random.default_rng(0)
    seen = windows(own_normalised(mel), n, FACTS.window)[:, 10:23].reshape(n, -1)
    targets = (seen @ rng.standard_normal((13 * N_MELS, 3)) / 20).astype(np.float32)
    train = np.arange(n) < 480
    heard = AudioBatcher(MEL, mel_voices(mel, SMALL.batches, 0), SMALL.batches, 0)
    config = replace(SMALL, linear=False, steps=steps)
    encoder = pretrain_encoder(heard, targets, train, np.zeros(3, np.float32), config, seed, advance=advance).encoder
    held_out = torch.arange(480, 590)
    with torch.no_grad():
        told = encoder(heard.clean(held_out)).numpy()
    return encoder, float(np.mean([np.corrcoef(told[:, k], targets[480:590, k])[0, 1] for k in range(3)]))


def test_both_ways_learn_the_same(as_elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    encoder, elsewhere = fit(advance=told.append)
    monkeypatch.undo()
    _, here = fit()
    assert here > 0.7 and abs(here - elsewhere) < 0.04
    assert told == [50, 50, 20] and not encoder.training


def test_a_seed_repeats_and_global_chance_is_left_alone(as_elsewhere: None) -> None:
    before = torch.random.get_rng_state()
    states = [fit(seed, 4)[0].state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


def certain_bank() -> AudioBatcher:
    """A bank that leaves nothing to chance: one version, one pause, as long as a window."""
    mel = babble(400, seed=2)
    one = BatchConfig(versions=1, plain_versions=1)
    return AudioBatcher(MEL, [Voice(mel, mel[None, : FACTS.window.length])], one, 0)


def test_steps_are_those_of_torch() -> None:
    heard, config = certain_bank(), replace(SMALL, steps=60, dropout=0.0)
    size = EncoderConfig(2, hidden=8, members=2, dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = AudioEncoder(size)
    wanted, closed, weight = torch.randn((100, 2), generator=generator()), torch.ones(2), torch.tensor([0.5, 1.5])
    ways = (pretrain._descent(heard, CPU, None, None), partial(pretrain._descend_on, bank_on(CPU, heard), None, None))
    weights = []
    for steps in ways:
        encoder = AudioEncoder(size)
        encoder.load_state_dict(start.state_dict())
        steps(encoder, heard, torch.tensor([40]), wanted, closed, weight, config, generator(3))
        weights.append(torch.cat([part.detach().flatten() for part in descent.trained_of(encoder)]))
    begun = torch.cat([part.detach().flatten() for part in descent.trained_of(start)])
    assert (weights[0] - begun).abs().mean() > 0.01
    torch.testing.assert_close(weights[1], weights[0], atol=2e-4, rtol=1e-3)


def task_on(device: torch.device, heard: AudioBatcher) -> Task:
    return Task(
        windows=heard.rows(torch.arange(10, 90)).to(device),
        answers=torch.zeros((80, 2), device=device),
        closed=torch.ones(2, device=device),
        speaking=14,
        silent=2,
        loss=lambda each, answers: pretrain._loss(each, answers, torch.ones(2, device=device), 2, SMALL),
    )


def test_a_step_asks_no_tensor_for_a_number() -> None:
    """Tensors of the device meta hold none, and do not mix with the host's."""
    meta, heard = torch.device("meta"), certain_bank()
    encoder = AudioEncoder(EncoderConfig(2, hidden=8, members=2)).to(meta).train()
    schedule = Schedule(5, 1e-3, 0.1, 0.9, 0.02)
    state = descent._State.of(descent.trained_of(encoder), schedule, meta)
    descent._step(encoder, bank_on(meta, heard), task_on(meta, heard), state)
    with pytest.raises(RuntimeError, match="meta"):
        state.at.item()


class PretendedGraph:
    """What is recorded is called."""

    def replay(self) -> None:
        raise AssertionError("nothing was recorded")

    def reset(self) -> None:
        self.replay = None


@pytest.mark.parametrize("works", [True, False])
def test_what_was_tried_before_a_recording_is_undone(works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[PretendedGraph] = []

    def record(graph: PretendedGraph, step) -> None:
        made.append(graph)
        for _ in range(descent.WARM_UP):
            step()
        if not works:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        graph.replay = step

    for name, stand_in in (("CUDAGraph", PretendedGraph), ("manual_seed", torch.manual_seed), ("synchronize", int)):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(descent, "_record", record)
    monkeypatch.setattr(descent, "_free_generator", lambda: None)
    heard, said = certain_bank(), []
    encoder = AudioEncoder(EncoderConfig(2, hidden=8, members=2)).train()
    state = descent._State.of(descent.trained_of(encoder), Schedule(5, 1e-3, 0.1, 0.9, 0.02), CPU)
    begun = [tensor.clone() for tensor in state.changing()]
    bank, task = bank_on(CPU, heard), task_on(CPU, heard)
    with torch.random.fork_rng():
        with descent._recorded(
            lambda: descent._step(encoder, bank, task, state), state, 3, torch.device("cuda"), said.append
        ) as run:
            assert all(torch.equal(a, b) for a, b in zip(begun, state.changing(), strict=True))
            for _ in range(5):
                run()
    assert int(state.at) == 5 and not torch.equal(state.weights, begun[0])
    assert len(said) == (0 if works else 1) and all("\n" not in line and "not permitted" in line for line in said)
    assert (made[0].replay is None) == works
