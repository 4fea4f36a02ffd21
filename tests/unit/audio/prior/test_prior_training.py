"""The encoder learns on speech made on the spot: syllables of the tests' own buzzing voice, no engine needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gaussavatar.audio.features.viseme_network import CLASSES, normaliser
from gaussavatar.audio.prior.corpus import Utterance, utterance_of
from gaussavatar.audio.prior.engine import Spoken
from gaussavatar.audio.prior.network import TrainedNetwork, folded
from gaussavatar.audio.prior.training import PriorConfig, prior_loss, scores, split, train_prior, version_of

from ..sounds import generator, spoken

SOUNDS = dict(zip("acek", "aisw", strict=True))
"""Letters of the buzzing voice, and phones that they shall stand for."""


def corpus(n: int, engine: str = "buzz") -> list[Utterance]:
    rng = np.random.default_rng(5)
    made = []
    for k in range(n):
        letters = "".join(rng.choice([*SOUNDS, "."], 12))
        phones = [(SOUNDS.get(letter, ""), 0.1 * i, 0.1 * (i + 1)) for i, letter in enumerate(letters)]
        sound = spoken(letters, seed=k)
        made.append(utterance_of(Spoken(sound.samples, sound.rate, phones), engine, "one", rng))
    return made


def test_a_folded_network_is_the_one_that_learnt() -> None:
    torch.manual_seed(0)
    network = TrainedNetwork(hidden=16)
    for _ in range(3):
        network(torch.randn(4, 90, 40) * 4.0 - 10.0)
    network.eval()
    mel = torch.randn(2, 80, 40) * 4.0 - 10.0
    plain = folded(network, components=4)
    torch.testing.assert_close(plain.trunk(mel), network.trunk(mel), atol=1e-5, rtol=1e-4)
    told, mouth = plain.outputs(plain.trunk(mel))
    both = network(mel)
    torch.testing.assert_close(told, both[..., : len(CLASSES)].log_softmax(-1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mouth[..., 3], both[..., -1].sigmoid(), atol=1e-4, rtol=1e-4)


def test_the_network_is_as_small_as_is_told() -> None:
    assert 180_000 < sum(tensor.numel() for tensor in TrainedNetwork().parameters()) < 200_000


def test_it_learns_what_is_said_and_components_are_white() -> None:
    config = PriorConfig(steps=80, versions=1, batch=6, frames=60, average=0.9)
    learn, held = split(corpus(24), config, seed=0)
    network, steps = train_prior(learn, config, seed=0)
    assert steps == 80
    found = scores(network, held, replace(config, plain=1.0), seed=0)["buzz"].frames
    most = np.bincount(np.concatenate([one.kinds for one in held])).max() / sum(len(one.kinds) for one in held)
    assert found > most + 0.1
    with torch.no_grad():
        trunk = torch.cat([network.trunk(torch.from_numpy(normaliser().push(one.mel))[None])[0] for one in learn])
    told = (trunk - network.centre) @ network.components.T
    assert torch.isfinite(told).all() and 0.3 < float(told.std()) < 3.0


def test_every_engine_has_its_own_held_out_utterances() -> None:
    both = corpus(30, "one") + corpus(3, "two")
    learn, held = split(both, PriorConfig(held_out=0.1), seed=1)
    assert sorted(one.engine for one in held) == ["one"] * 3 + ["two"]
    assert len(learn) + len(held) == len(both) and not {id(one) for one in learn} & {id(one) for one in held}


def test_versions_keep_time_and_differ() -> None:
    one, other = corpus(2)
    config, chance = PriorConfig(), generator()
    made = [version_of(one, other, config, chance) for _ in range(4)]
    assert all(version.shape == one.mel.shape for version in made)
    assert not torch.allclose(made[0], made[1], atol=0.5)


@pytest.mark.parametrize("part", ["classes", "mouth", "closure"])
def test_every_part_of_the_loss_is_heard(part: str) -> None:
    n = len(CLASSES)
    kinds, mouth = torch.zeros(1, 3, dtype=torch.long), torch.tensor([0.2, 0.3, 0.4, 1.0]).expand(1, 3, 4)
    right = torch.zeros(1, 3, n + 4)
    right[..., 0], right[..., n : n + 3], right[..., -1] = 9.0, mouth[..., :3], 9.0
    wrong = right.clone()
    wrong[..., {"classes": 5, "mouth": n + 1, "closure": n + 3}[part]] = 20.0 if part == "classes" else -2.0
    config = PriorConfig()
    assert prior_loss(wrong, kinds, mouth, config) > prior_loss(right, kinds, mouth, config) + 0.5
