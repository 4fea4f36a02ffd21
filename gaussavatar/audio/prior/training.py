"""Training of the speech encoder on synthetic speech, in other rooms and through other throats than it was made."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.mel_augment import add_power, augment_mel, silence_mel
from gaussavatar.audio.features.mel_bands import LOG_FLOOR, N_MELS
from gaussavatar.audio.features.viseme_network import (
    SILENT,
    Reach,
    VisemeNetwork,
    between_silence,
    heard_statistics,
    normaliser,
)
from gaussavatar.audio.normalise import normalise
from gaussavatar.audio.phone_classes import CLASSES
from gaussavatar.audio.prior.corpus import Utterance
from gaussavatar.audio.prior.network import TrainedNetwork, folded
from gaussavatar.progress import Progress, QuietProgress
from gaussavatar.seeding import seeded
from gaussavatar.statistics import correlation

_BILABIAL = [CLASSES.index("pb"), CLASSES.index("m")]


@dataclass(frozen=True)
class PriorConfig:
    """How the encoder learns.

    Attributes:
        seconds: of training; how many steps that is depends on the machine.
        steps: this many instead, where it is not 0; the same machine then makes the same weights again.
        batch, frames: stretches per step, and how many frames of the network (20 ms) each is long.
        learning_rate, weight_decay: of AdamW, warmed up over 100 steps, with a cosine decay to 2 %.
        versions: augmented versions of every utterance.
        plain: share of versions that are left as they were made, but for their level.
        second_voice: share of versions with another voice behind, 5 to 20 dB below.
        augment: how versions differ.
        held_out: share of each engine's utterances that are not learnt from.
        smoothing: of the classes in the cross-entropy.
        mouth_weight, closure_weight: of the articulation's squared error and of the closure's cross-entropy.
        average: decay of the moving average of the weights that is kept.
        components: principal components of the last layer that are given to who drives a mouth.
    """

    seconds: float = 200.0
    steps: int = 0
    batch: int = 12
    frames: int = 150
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    versions: int = 4
    plain: float = 0.15
    second_voice: float = 0.25
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            warp_low=0.8,
            warp_high=1.25,
            equaliser=0.9,
            snr_low=3.0,
            band_limit_probability=0.2,
            reverb_probability=0.35,
        )
    )
    held_out: float = 0.05
    smoothing: float = 0.05
    mouth_weight: float = 4.0
    closure_weight: float = 0.7
    average: float = 0.99
    components: int = 24


@dataclass(frozen=True)
class Score:
    """How well utterances that were not learnt from are understood, as they were made and in one other room each.

    Attributes:
        frames: share of frames whose class is right, and ``noisy``: in the augmented version.
        closures_found, closures_right: recall and precision of p, b and m, frame by frame.
        opening: correlation of the opening.
    """

    frames: float
    noisy: float
    closures_found: float
    closures_right: float
    opening: float


def split(corpus: Sequence[Utterance], config: PriorConfig, seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances to learn from, and of every engine the share that is held out (at least one)."""
    chance = np.random.default_rng(seed)
    learn: list[Utterance] = []
    held: list[Utterance] = []
    for engine in sorted({one.engine for one in corpus}):
        own = [one for one in corpus if one.engine == engine]
        order = chance.permutation(len(own))
        n = max(1, int(config.held_out * len(own)))
        held += [own[k] for k in order[:n]]
        learn += [own[k] for k in order[n:]]
    return learn, held


def version_of(
    one: Utterance, other: Utterance, config: PriorConfig, generator: torch.Generator
) -> Float[Tensor, "t 40"]:
    """One utterance in another room, maybe with another voice behind it."""

    def draw(low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    mel = torch.from_numpy(one.mel)
    if draw() < config.second_voice:
        behind = torch.from_numpy(np.resize(other.mel, one.mel.shape))
        mel = add_power(mel, behind - draw(1.2, 4.6))
    return mel if draw() < config.plain else augment_mel(mel, config.augment, generator)


def _paused(mel: Float[Tensor, "t 40"], before: int, after: int, generator: torch.Generator) -> Float[Tensor, "s 40"]:
    """A version between pauses, normalised: with what was heard so far, or with a stretch's statistics.

    The pauses are the room's own, digital silence, or what stands outside a sound.
    """
    kind, way = torch.rand((2,), generator=generator).tolist()
    pause = torch.full((before + after, N_MELS), LOG_FLOOR)
    if kind < 0.4:
        level = torch.quantile(mel, 0.1, dim=0)
        pause = silence_mel(1, before + after, level, generator)[0]
    whole = torch.cat([pause[:before], mel, pause[before:]]).numpy()
    if way < 0.5:
        out = normaliser().push(whole)
    else:
        shortest = min(len(whole), 200)
        length = int(torch.randint(shortest, len(whole) + 1, (), generator=generator))
        start = int(torch.randint(0, len(whole) - length + 1, (), generator=generator))
        out = normalise(whole, heard_statistics(whole[start : start + length]))
    if kind > 0.7:
        out[:before], out[len(out) - after :] = SILENT, SILENT
    return torch.from_numpy(out)


@dataclass(frozen=True)
class _Bank:
    """Versions of all utterances on one tape, each between pauses of the length that a frame sees."""

    tapes: Tensor  # (versions, t, 40) in half precision
    kinds: Int[Tensor, "s"]
    mouth: Float[Tensor, "s 4"]
    starts: Int[np.ndarray, "u"]
    lengths: Int[np.ndarray, "u"]
    share: Float[np.ndarray, "u"]


def _bank(learn: Sequence[Utterance], reach: Reach, config: PriorConfig, generator: torch.Generator) -> _Bank:
    before, after = reach.before // 2 * 2 + 2, -(-reach.after // 2) * 2
    tapes = []
    for _ in range(config.versions):
        parts = []
        for one in learn:
            other = learn[int(torch.randint(len(learn), (), generator=generator))]
            parts.append(_paused(version_of(one, other, config, generator), before, after, generator))
        tapes.append(torch.cat(parts).half())
    lead = before // 2
    lengths = np.array([len(one.kinds) for one in learn])
    steps = lengths + lead + after // 2
    starts = np.concatenate([[0], np.cumsum(steps)[:-1]]) + lead
    kinds = torch.zeros(int(steps.sum()), dtype=torch.long)
    mouth = torch.zeros(int(steps.sum()), 4)
    for start, one in zip(starts, learn, strict=True):
        kinds[start : start + len(one.kinds)] = torch.from_numpy(one.kinds)
        mouth[start : start + len(one.kinds)] = torch.from_numpy(one.mouth)
    # Every engine is heard as often as any other.
    share = np.zeros(len(learn))
    for engine in {one.engine for one in learn}:
        own = np.array([one.engine == engine for one in learn])
        share[own] = lengths[own] / lengths[own].sum()
    return _Bank(torch.stack(tapes), kinds, mouth, starts, lengths, share / share.sum())


def _batches(
    bank: _Bank, reach: Reach, config: PriorConfig, chance: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Stretches of the tape, which may run from one utterance into the next; frames beside them are silence."""
    most = len(bank.kinds) - config.frames - reach.after // 2 - 1
    least = -(-reach.before // 2)
    seen = torch.arange(-reach.before, 2 * config.frames - 1 + reach.after)
    told = torch.arange(config.frames)
    while True:
        which = chance.choice(len(bank.starts), config.batch, p=bank.share)
        inside = chance.uniform(-0.2, 0.8, config.batch) * bank.lengths[which]
        start = torch.from_numpy(np.clip((bank.starts[which] + inside).astype(int), least, most))[:, None]
        version = torch.from_numpy(chance.integers(len(bank.tapes), size=(config.batch, 1)))
        yield bank.tapes[version, 2 * start + seen].float(), bank.kinds[start + told], bank.mouth[start + told]


def prior_loss(
    outputs: Float[Tensor, "b s o"], kinds: Int[Tensor, "b s"], mouth: Float[Tensor, "b s 4"], config: PriorConfig
) -> Float[Tensor, ""]:
    """Cross-entropy of the class, squared error of the articulation, cross-entropy of the closure."""
    n = len(CLASSES)
    classes = F.cross_entropy(outputs[..., :n].flatten(0, 1), kinds.flatten(), label_smoothing=config.smoothing)
    shape = (outputs[..., n : n + 3] - mouth[..., :3]).square().sum(-1).mean()
    closure = F.binary_cross_entropy_with_logits(outputs[..., n + 3], mouth[..., 3])
    return classes + config.mouth_weight * shape + config.closure_weight * closure


def train_prior(
    learn: Sequence[Utterance], config: PriorConfig, seed: int, progress: Progress | None = None
) -> tuple[VisemeNetwork, int]:
    """The trained encoder, folded, with the principal components of what it makes of the corpus; and the steps done."""
    generator = torch.Generator().manual_seed(seed)
    chance = np.random.default_rng(seed)
    progress = progress or QuietProgress()
    with seeded(seed):
        network = TrainedNetwork()
        mean_network = torch.optim.swa_utils.AveragedModel(
            network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average), use_buffers=True
        )
        bank = _bank(learn, network.reach, config, generator)
        optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        begun, steps, told = time.monotonic(), 0, 0
        with progress.stage("training, per mille", 1000) as advance:
            for mel, kinds, mouth in _batches(bank, network.reach, config, chance):
                done = steps / config.steps if config.steps else (time.monotonic() - begun) / config.seconds
                advance(int(1000 * min(1.0, done)) - told)
                told = int(1000 * min(1.0, done))
                if done >= 1.0:
                    break
                rate = config.learning_rate * min(1.0, (steps + 1) / 100) * (0.51 + 0.49 * np.cos(np.pi * done))
                optimiser.param_groups[0]["lr"] = float(rate)
                loss = prior_loss(network(mel), kinds, mouth, config)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
                optimiser.step()
                mean_network.update_parameters(network)
                steps += 1
        trained = mean_network.module.eval()
        assert isinstance(trained, TrainedNetwork)
        plain = folded(trained)
        batches = _batches(bank, network.reach, config, chance)
        with torch.no_grad():
            seen = torch.cat([plain.trunk(next(batches)[0]).flatten(0, 1) for _ in range(40)])
        return with_components(plain, seen, config.components), steps


def with_components(network: VisemeNetwork, seen: Float[Tensor, "n h"], components: int) -> VisemeNetwork:
    """The network with principal components of what it gave, each divided by its standard deviation."""
    centre = seen.mean(0)
    deviation, axes = torch.linalg.eigh(torch.cov((seen - centre).T.double()))
    first = torch.arange(len(deviation) - 1, len(deviation) - 1 - components, -1)
    axes = axes[:, first].T
    # The sign of an axis is arbitrary: its largest element is made positive.
    axes = axes * torch.sign(axes.gather(1, axes.abs().argmax(1, keepdim=True)))
    whitened = axes / deviation[first].clamp_min(1e-8).sqrt()[:, None]
    return replace(network, centre=centre, components=whitened.float())


def scores(network: VisemeNetwork, held: Sequence[Utterance], config: PriorConfig, seed: int) -> dict[str, Score]:
    """How well each engine's held-out utterances are understood."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for engine in sorted({one.engine for one in held}):
        own = [one for one in held if one.engine == engine]
        heard = [_heard(network, torch.from_numpy(one.mel)) for one in own]
        worse = [
            _heard(network, version_of(one, own[k - 1], replace(config, plain=0.0), generator))[0]
            for k, one in enumerate(own)
        ]
        kinds = np.concatenate([one.kinds for one in own])
        told, noisy = np.concatenate([one[0] for one in heard]), np.concatenate(worse)
        really, said = np.isin(kinds, _BILABIAL), np.isin(told, _BILABIAL)
        opening = np.concatenate([one[1] for one in heard])
        out[engine] = Score(
            frames=float((told == kinds).mean()),
            noisy=float((noisy == kinds).mean()),
            closures_found=float(said[really].mean()) if really.any() else 0.0,
            closures_right=float(really[said].mean()) if said.any() else 0.0,
            opening=correlation(opening, np.concatenate([one.mouth[:, 0] for one in own])),
        )
    return out


def _heard(network: VisemeNetwork, mel: Float[Tensor, "t 40"]) -> tuple[np.ndarray, np.ndarray]:
    reach = network.reach
    padded = torch.from_numpy(between_silence(normaliser().push(mel.numpy()), reach))
    with torch.no_grad():
        told, mouth = network.outputs(network.trunk(padded[None]))
    n = len(mel) // 2
    return told[0, :n].argmax(-1).numpy(), mouth[0, :n, 0].numpy()
