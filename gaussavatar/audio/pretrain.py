"""Pre-training of the audio encoder on the landmark motion of one clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from gaussavatar.audio.batches import AudioBatcher, BatchConfig
from gaussavatar.audio.descent import DeviceBank, Schedule, Task, bank_on, descend, trained_of
from gaussavatar.audio.encoder import LONGEST_WINDOW, SHORTEST_WINDOW, AudioEncoder, EncoderConfig
from gaussavatar.audio.features.api import AudioFeature
from gaussavatar.audio.heard_before import COMPONENTS, fit_heard_before
from gaussavatar.audio.offset import block_bounds
from gaussavatar.audio.own_range import fit_own_range
from gaussavatar.seeding import seeded

LEAST_RATE = 0.02
"""Share of the learning rate that the cosine decay ends with."""

_Descent = Callable[..., None]
"""Trains an encoder, given :func:`_descend`'s arguments but the last."""


@dataclass(frozen=True)
class AudioPretrainConfig:
    """How the encoder is pre-trained.

    Attributes:
        features: what the encoder hears (names in :mod:`gaussavatar.audio.features.registry`); the first of several
            tells speech from silence (:class:`gaussavatar.audio.features.join.JoinedFeature`). ``best`` alone stands
            for the set that measures best, as far as it is installed.
        light: what the avatar's light network hears, for pages and live sound; () for none.
        light_share: share of the light network in the best one's answer.
        steps: optimiser steps.
        batch: windows per step, silence included.
        learning_rate, weight_decay: of AdamW, with a cosine decay to 2 %.
        silence_share: synthetic silence in every batch, whose target is the closed mouth.
        average: decay of the moving average of the weights that is returned.
        ridge: penalty of the closed-form linear member, per training window.
        robust: Huber's threshold of the error in standard deviations of a code; 0 squares every error. A clip's
            grimaces then pull less at what is said.
        lip_weight: exponent of the lip displacement that a code stands for, as its weight in the error; 0 counts
            all codes alike. Wants ``displacement`` in :func:`pretrain_encoder`.
        shrink_folds: blocks of the clip that are predicted from the others to see how far each code can be
            believed; each is then narrowed to that (:func:`reliable_shares`). 0 leaves the codes as wide as they
            were fitted: right for a minute or more, too wide for ten seconds.
        range_folds: blocks of the clip that are predicted from the others to see how wide the person's codes are
            against what a network dares (:mod:`gaussavatar.audio.own_range`); 0 leaves that to a gain.
        fold_steps: optimiser steps of the networks that predict these blocks.
        hidden, members, linear, dropout: see :class:`EncoderConfig`.
        batches: the bank of augmented versions.
    """

    features: tuple[str, ...] = ("mel",)
    light: tuple[str, ...] = ()
    light_share: float = 0.3
    steps: int = 1000
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    silence_share: float = 0.06
    average: float = 0.995
    ridge: float = 0.6
    robust: float = 1.0
    lip_weight: float = 1.0
    shrink_folds: int = 0
    range_folds: int = 4
    fold_steps: int = 150
    hidden: int = 40
    members: int = 3
    linear: bool = True
    dropout: float = 0.15
    batches: BatchConfig = field(default_factory=BatchConfig)


@dataclass(frozen=True)
class Pretrained:
    """A network, and what networks like it say of frames that they did not learn from.

    Attributes:
        encoder: the network, of all training frames.
        predicted: its answers on the training frames (k, d) by networks that never saw each one's block, around the
            encoder's own mean; None where no block was predicted.
    """

    encoder: AudioEncoder
    predicted: Float32[np.ndarray, "k d"] | None


def pretrain_encoder(
    heard: AudioBatcher,
    targets: Float32[np.ndarray, "n d"],
    train_mask: Bool[np.ndarray, "n"],
    closed_target: Float32[np.ndarray, "d"],
    config: AudioPretrainConfig,
    seed: int,
    *,
    displacement: Float32[np.ndarray, "d"] | None = None,
    aperture: Float32[np.ndarray, "n"] | None = None,
    advance: Callable[[int], None] | None = None,
    device: torch.device | None = None,
    say: Callable[[str], None] | None = None,
) -> Pretrained:
    """Fit an encoder from sound to mouth motion.

    Args:
        heard: the clip's sound.
        targets: what to predict for every video frame (mouth codes, aperture, width).
        train_mask: frames that may be learnt from.
        closed_target: the target of silence.
        config: sizes and schedule.
        seed: of everything random.
        displacement: how far a unit of each target moves the lips (:func:`gaussavatar.audio.targets.lip_displacement`);
            all alike by default.
        aperture: the lips' opening in every frame, by which the network learns how wide the person moves; without it
            that is left to a gain.
        advance: called with the number of steps done.
        device: where the optimiser's steps are taken, the CPU by default; another draws other numbers of the same
            chance. The encoder comes back on the CPU.
        say: told what a person should know of that.

    Raises:
        ValueError: fewer than 50 training frames, or targets that are not finite.
    """
    frames = torch.from_numpy(np.flatnonzero(train_mask))
    if len(frames) < 50:
        raise ValueError(f"pre-training wants at least 50 frames, got {len(frames)}")
    if not np.isfinite(targets[train_mask]).all():
        raise ValueError("pre-training targets hold NaN or infinity")
    moved = np.ones(targets.shape[1], np.float32) if displacement is None else displacement
    steps = _descent(heard, device or torch.device("cpu"), advance, say)
    encoder = _fitted(targets, frames, closed_target, moved, config, heard, seed, steps)
    if encoder.heard is not None:
        encoder.heard.learn(fit_heard_before(heard.frames_around(frames).numpy(), encoder.config.heard))
    learns_range = aperture is not None and config.range_folds > 1
    folds = config.shrink_folds if config.shrink_folds > 1 else config.range_folds if learns_range else 0
    if folds < 2:
        return Pretrained(encoder, None)
    shorter = replace(config, shrink_folds=folds, steps=min(config.steps, config.fold_steps))
    deviation = _cross_predicted(targets, frames, closed_target, moved, shorter, heard, seed, steps)
    centre = encoder.centre.numpy()
    if config.shrink_folds > 1:
        shares = reliable_shares(deviation, targets[train_mask] - centre, moved)
        encoder.spread.mul_(torch.from_numpy(shares))
        deviation = shares * deviation
    predicted = centre + deviation
    if learns_range and encoder.range is not None:
        assert aperture is not None
        speaking = speaking_frames(heard, frames)
        known = (predicted, targets[train_mask], aperture[train_mask])
        encoder.range.learn(fit_own_range(*(values[speaking] for values in known), centre))
    return Pretrained(encoder, predicted)


def speaking_frames(heard: AudioBatcher, frames: Int[Tensor, "k"]) -> Bool[np.ndarray, "k"]:
    """Which video frames lie in speech and not in pauses, where a gate closes the mouth anyway; all if few do."""
    parts = [heard.feature.gate(heard.clean(part).numpy()) > 0.5 for part in frames.split(512)]
    speaking = np.concatenate(parts)
    return speaking if speaking.mean() > 0.2 else np.ones(len(frames), bool)


def steps_of(config: AudioPretrainConfig, with_range: bool) -> int:
    """Optimiser steps of :func:`pretrain_encoder` in all."""
    folds = config.shrink_folds if config.shrink_folds > 1 else config.range_folds if with_range else 0
    return config.steps + (folds if folds > 1 else 0) * min(config.steps, config.fold_steps)


def _fitted(
    targets: Float32[np.ndarray, "n d"],
    frames: Tensor,
    closed_target: Float32[np.ndarray, "d"],
    displacement: Float32[np.ndarray, "d"],
    config: AudioPretrainConfig,
    batcher: AudioBatcher,
    seed: int,
    steps: _Descent,
) -> AudioEncoder:
    generator = torch.Generator().manual_seed(seed)
    encoder = _new_encoder(batcher.feature, targets[frames.numpy()], config, generator)
    wanted = (torch.from_numpy(targets).float() - encoder.centre) / encoder.spread
    closed = (torch.from_numpy(closed_target).float() - encoder.centre) / encoder.spread
    if encoder.linear is not None:
        weight, bias = fit_linear(batcher, frames, wanted, closed, config, generator)
        encoder.linear.weight.data.copy_(weight)
        encoder.linear.bias.data.copy_(bias)
    weight = (torch.from_numpy(displacement).float() * encoder.spread) ** (2.0 * config.lip_weight)
    weight = weight / weight.mean().clamp_min(1e-12)
    steps(encoder, batcher, frames, wanted, closed, weight, config, generator)
    return encoder.eval()


def _cross_predicted(
    targets: Float32[np.ndarray, "n d"],
    frames: Tensor,
    closed_target: Float32[np.ndarray, "d"],
    displacement: Float32[np.ndarray, "d"],
    config: AudioPretrainConfig,
    batcher: AudioBatcher,
    seed: int,
    steps: _Descent,
) -> Float32[np.ndarray, "k d"]:
    """Every training frame as an encoder answers that never saw its block, off that encoder's mean."""
    deviation = np.empty((len(frames), targets.shape[1]), np.float32)
    for start, stop in block_bounds(len(frames), config.shrink_folds):
        held = frames[start:stop]
        # Windows of four frames beside the block reach into it.
        others = frames[(frames < held[0] - 4) | (frames > held[-1] + 4)]
        encoder = _fitted(targets, others, closed_target, displacement, config, batcher, seed, steps)
        with torch.no_grad():
            deviation[start:stop] = (encoder(batcher.clean(held)) - encoder.centre).numpy()
    return deviation


def reliable_shares(
    predicted: Float32[np.ndarray, "n d"], real: Float32[np.ndarray, "n d"], displacement: Float32[np.ndarray, "d"]
) -> Float32[np.ndarray, "d"]:
    """The factor 0..1 on each predicted code, as a deviation from its mean, that errs least.

    It is the slope of the regression of real on predicted values of frames that the prediction did not learn from.
    A slope from a few seconds is itself uncertain: it is averaged with the slope of all codes together, weighted by
    how far they move the lips (an empirical Bayes estimate with equal trust in both).
    """
    agreement, power = (predicted * real).sum(0), np.square(predicted).sum(0)
    weight = np.square(displacement)
    common = float((weight * agreement).sum() / max(float((weight * power).sum()), 1e-12))
    own = agreement / np.maximum(power, 1e-12)
    return np.clip(0.5 * (own + common), 0.0, 1.0).astype(np.float32)


def encoder_config(feature: AudioFeature, n_codes: int, config: AudioPretrainConfig) -> EncoderConfig:
    """The encoder that a recipe describes, for what it hears.

    Raises:
        ValueError: the feature's window is too short or too long for the convolutions.
    """
    facts = feature.facts
    if not SHORTEST_WINDOW <= facts.window.length <= LONGEST_WINDOW:
        raise ValueError(
            f"an encoder's window has {SHORTEST_WINDOW} to {LONGEST_WINDOW} frames, got {facts.window.length}"
        )
    return EncoderConfig(
        n_codes=n_codes,
        hidden=config.hidden,
        members=config.members,
        linear=config.linear,
        dropout=config.dropout,
        features=facts.names,
        width=facts.dimension,
        window=facts.window.length,
        own_range=config.range_folds > 1,
        heard=min(COMPONENTS, facts.dimension),
    )


def _new_encoder(
    feature: AudioFeature, targets: np.ndarray, config: AudioPretrainConfig, generator: torch.Generator
) -> AudioEncoder:
    size = encoder_config(feature, targets.shape[1], config)
    # Modules draw their first weights from torch's global generator; a fork keeps the caller's state.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        encoder = AudioEncoder(size)
        for module in (encoder.stem, encoder.middle, encoder.top, encoder.head):
            bound = module.weight.shape[1] ** -0.5
            module.weight.uniform_(-bound, bound, generator=generator)
    encoder.centre.copy_(torch.from_numpy(targets.mean(0)))
    encoder.spread.copy_(torch.from_numpy(targets.std(0)).clamp_min(1e-6))
    return encoder


def fit_linear(
    batcher: AudioBatcher,
    frames: Tensor,
    wanted: Float[Tensor, "n d"],
    closed: Float[Tensor, "d"],
    config: AudioPretrainConfig,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "d k"], Float[Tensor, "d"]]:
    """Ridge regression over augmented windows and silence, in closed form.

    Returns:
        The weight and bias of a linear layer over the flattened window.
    """
    rows, answers = [batcher.clean(frames).flatten(1)], [wanted[frames]]
    for _ in range(5):
        rows.append(batcher.sample(frames, generator).flatten(1))
        answers.append(wanted[frames])
        n_silent = max(1, int(config.silence_share * len(frames)))
        rows.append(batcher.silence(n_silent, generator).flatten(1))
        answers.append(closed.expand(n_silent, -1))
    x, y = torch.cat(rows), torch.cat(answers)
    x_mean, y_mean = x.mean(0), y.mean(0)
    x = x - x_mean
    gram = (x.T @ x).double() + config.ridge * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, (x.T @ (y - y_mean)).double()).float()
    return weight.T.contiguous(), y_mean - x_mean @ weight


def _huber(error: Tensor, threshold: float) -> Tensor:
    """Squares up to ``threshold`` and straight lines beyond (Huber 1964), whose slope at the start is a square's."""
    if threshold <= 0:
        return error.square()
    return 2.0 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=threshold)


def _loss(
    each: Float[Tensor, "members b d"],
    answers: Float[Tensor, "b d"],
    weight: Float[Tensor, "d"],
    n_silent: int,
    config: AudioPretrainConfig,
) -> Float[Tensor, ""]:
    """What a step lessens; the last ``n_silent`` windows are silence."""
    error = each[: config.members] - answers
    # The closed mouth is certain, and far from most of speech: it must not be taken for a grimace.
    error = torch.cat([_huber(error[:, :-n_silent], config.robust), error[:, -n_silent:].square()], 1)
    return (weight * error).mean()


def _descent(
    heard: AudioBatcher,
    device: torch.device,
    advance: Callable[[int], None] | None,
    say: Callable[[str], None] | None,
) -> _Descent:
    """How the optimiser's steps are taken on a device."""
    if device.type == "cpu":
        return partial(_descend, advance=advance)
    return partial(_descend_on, bank_on(device, heard), advance, say)


def _descend_on(
    bank: DeviceBank,
    advance: Callable[[int], None] | None,
    say: Callable[[str], None] | None,
    encoder: AudioEncoder,
    batcher: AudioBatcher,
    frames: Tensor,
    wanted: Tensor,
    closed: Tensor,
    weight: Float[Tensor, "d"],
    config: AudioPretrainConfig,
    generator: torch.Generator,
) -> None:
    n_silent, device = _silent_of(config), bank.device
    weight = weight.to(device)
    task = Task(
        windows=batcher.rows(frames).to(device),
        answers=wanted[frames].to(device),
        closed=closed.to(device),
        speaking=config.batch - n_silent,
        silent=n_silent,
        loss=lambda each, answers: _loss(each, answers, weight, n_silent, config),
    )
    schedule = Schedule(config.steps, config.learning_rate, config.weight_decay, config.average, LEAST_RATE)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    descend(encoder, bank, task, schedule, seed, advance, say)


def _silent_of(config: AudioPretrainConfig) -> int:
    return max(1, round(config.silence_share * config.batch))


def _descend(
    encoder: AudioEncoder,
    batcher: AudioBatcher,
    frames: Tensor,
    wanted: Tensor,
    closed: Tensor,
    weight: Float[Tensor, "d"],
    config: AudioPretrainConfig,
    generator: torch.Generator,
    advance: Callable[[int], None] | None,
) -> None:
    trained = trained_of(encoder)
    rates = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    optimiser = torch.optim.AdamW(trained, **rates, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps, LEAST_RATE * config.learning_rate)
    averaged = [p.detach().clone() for p in trained]
    n_silent = _silent_of(config)
    with seeded(int(torch.randint(2**31, (1,), generator=generator))):
        encoder.train()
        for step in range(config.steps):
            drawn = frames[torch.randint(len(frames), (config.batch - n_silent,), generator=generator)]
            windows = torch.cat([batcher.sample(drawn, generator), batcher.silence(n_silent, generator)])
            answers = torch.cat([wanted[drawn], closed.expand(n_silent, -1)])
            loss = _loss(encoder.each(windows), answers, weight, n_silent, config)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            keep = min(config.average, step / (step + 10.0))
            with torch.no_grad():
                for average, parameter in zip(averaged, trained, strict=True):
                    average.lerp_(parameter, 1.0 - keep)
            if advance is not None:
                advance(1)
    with torch.no_grad():
        for parameter, value in zip(trained, averaged, strict=True):
            parameter.copy_(value)
