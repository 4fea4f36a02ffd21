"""What a fit can be in a given time: sizes and steps that fit into it, and what each part of it will take.

All of this is arithmetic; :mod:`gaussavatar.fitting.pace` measures, and :mod:`gaussavatar.fitting.timed` asks it twice:
before anything is done, from what this machine takes for a small scene, and before training, from what it took for the
clip itself. A plan is overrides of the recipe and nothing else, so that anybody can repeat it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gaussavatar.audio.pretrain import steps_of
from gaussavatar.errors import UserError
from gaussavatar.fitting.recipe import FitConfig
from gaussavatar.training.poses import skipped_frames

SIZES = (384, 256)
"""Sides of the picture that are tried, besides the recipe's own, where its steps do not fit in."""

ENOUGH, LEAST = 0.6, 0.25
"""Shares of a recipe's steps: below the first a smaller picture is better, below the second there is no avatar."""

POSES_SHARE, MOST_SKIPPED = 0.25, 8
"""Part of the training that poses may take before frames are skipped, and every how many-th is looked at at most."""

ROUND = 10
"""Steps are multiples of this."""

KEPT_BACK = 0.06
"""Part of the time that no plan uses: no estimate is better."""


@dataclass(frozen=True)
class ClipFacts:
    """What of a clip decides how long its fit takes."""

    frames: int
    sources: float
    """Pixels of a source frame over those of 1920 x 1080."""
    held_out: float
    """Share of the frames."""


@dataclass(frozen=True)
class Pace:
    """Seconds that parts of a fit take, at one size of the picture."""

    frame: float
    """Preparing a frame, but for decoding it."""
    decoded: float
    """Decoding one frame of 1920 x 1080."""
    begin: float
    """Preparing any clip: looking at it, models, the person's head."""
    still: float
    """A training step without motion, two frames."""
    step: float
    """A training step with motion, two frames."""
    pose: float
    """One Gauss-Newton step of one frame's pose."""
    voice: float
    """One second of the clip in one other voice."""
    heard: float
    """A step of one audio network's pre-training."""
    figure: float
    """Evaluating one held-out frame."""
    end: float
    """Writing any avatar."""


Costs = dict[str, float]
"""Seconds by part of a fit, in its order."""

PREPARING, HEARING, FINISHING = "preparing", "hearing", "figures"


def costs_of(config: FitConfig, clip: ClipFacts, pace: Pace, *, prepared: bool = False) -> Costs:
    """What every part of a fit takes; nothing for preparing what is ``prepared``."""
    begin = 0.0 if prepared else pace.begin + clip.frames * (pace.frame + pace.decoded * clip.sources)
    audio = config.audio
    seconds, networks = clip.frames / 25, 1 + bool(audio.light and audio.light != audio.features)
    voices = 1 + audio.batches.other_voices(seconds)
    costs = {PREPARING: begin, HEARING: voices * seconds * pace.voice + networks * steps_of(audio, True) * pace.heard}
    for stage in config.training.stages:
        if stage.kind == "poses":
            looked_at = clip.frames / skipped_frames(clip.frames, stage.every)
            costs[stage.name] = looked_at * stage.iterations * pace.pose
        else:
            moved = any(part.endswith("_motion") for part in stage.train) or stage.audio_share > 0
            costs[stage.name] = stage.iterations * stage.batch / 2 * (pace.step if moved else pace.still)
            costs[stage.name] *= coarse_share(stage.coarse)
    if config.torso.enabled:
        costs["torso"] = config.torso.iterations * pace.still
    costs[FINISHING] = pace.end + clip.frames * clip.held_out * pace.figure
    return costs


def coarse_share(coarse: int) -> float:
    """What a step of so many times smaller frames takes of a whole one: two thirds go by Gaussians, not by pixels."""
    return 0.65 + 0.35 / coarse**2


@dataclass(frozen=True)
class Plan:
    """A recipe's overrides for a given time, and what is expected of it."""

    sizes: tuple[str, ...]
    """Overrides that preparing depends on, too."""
    lengths: tuple[str, ...]
    """Overrides of how long stages are."""
    share: float
    """Of the recipe's steps."""
    size: int
    gaussians: int
    costs: Costs

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(self.costs.values())

    def told(self, recipe: str) -> str:
        """The plan in a line."""
        parts = {PREPARING: 0.0, HEARING: 0.0, "training": 0.0, FINISHING: 0.0}
        for name, seconds in self.costs.items():
            parts[name if name in parts else "training"] += seconds
        steps = "all steps" if self.share >= 1 else f"{self.share:.0%} of the steps"
        times = ", ".join(f"{name} {_minutes(seconds)}" for name, seconds in parts.items() if seconds >= 0.5)
        what = f"{self.size} px, {self.gaussians:,} Gaussians, {steps} of {recipe}"
        return f"{what}; {times}: {_minutes(self.seconds)} in all"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def fitted_into(
    seconds: float, config: FitConfig, clip: ClipFacts, pace: Pace, *, prepared: bool = False, least: float = 0.0
) -> Plan:
    """As many of a recipe's steps, at its own size, as fit into the time; ``least`` of them in any case.

    Frames are skipped in the passes over the poses where these would take more than their part; all stages that train
    are shortened alike, so that rates and their decay keep their meaning.
    """
    usable = seconds * (1 - KEPT_BACK)
    skips = range(1, MOST_SKIPPED)
    every = next((each for each in skips if _poses_fit(config, clip, pace, each, usable, prepared)), MOST_SKIPPED)
    config, skipped = _skipping(config, every)
    whole = costs_of(config, clip, pace, prepared=prepared)
    fits = {stage.name for stage in config.training.stages if stage.kind == "fit"} | {"torso"}
    steps = sum(cost for name, cost in whole.items() if name in fits)
    room = usable - (sum(whole.values()) - steps)
    share = min(1.0, max(least, room / max(steps, 1e-9)))
    config, shortened = _shortened(config, share)
    gaussians = config.model.face.count + config.model.mouth.count
    costs = costs_of(config, clip, pace, prepared=prepared)
    return Plan((), (*skipped, *shortened), share, config.image_size, gaussians, costs)


def _poses_fit(config: FitConfig, clip: ClipFacts, pace: Pace, every: int, seconds: float, prepared: bool) -> bool:
    """Whether the passes over the poses take no more than their part of what is left for training."""
    costs = costs_of(_skipping(config, every)[0], clip, pace, prepared=prepared)
    passes = {stage.name for stage in config.training.stages if stage.kind == "poses"}
    left = seconds - sum(costs[name] for name in (PREPARING, HEARING, FINISHING))
    taken = sum(cost for name, cost in costs.items() if name in passes)
    training = sum(cost for name, cost in costs.items() if name not in (PREPARING, HEARING, FINISHING))
    return training <= left or taken <= POSES_SHARE * left


def _skipping(config: FitConfig, every: int) -> tuple[FitConfig, tuple[str, ...]]:
    """Passes over the poses that look at every so-many-th frame at most."""
    passes = [stage for stage in config.training.stages if stage.kind == "poses" and stage.every < every]
    stages = tuple(replace(stage, every=every) if stage in passes else stage for stage in config.training.stages)
    config = replace(config, training=replace(config.training, stages=stages))
    return config, tuple(f"training.stages.{stage.name}.every={every}" for stage in passes)


def _shortened(config: FitConfig, share: float) -> tuple[FitConfig, tuple[str, ...]]:
    """Stages of so many of their steps."""
    if share >= 1:
        return config, ()
    share = max(share, 0.0)
    changes, stages = [], []
    for stage in config.training.stages:
        if stage.kind == "fit" and stage.iterations > 0:
            stage = replace(stage, iterations=max(ROUND, math.floor(stage.iterations * share / ROUND) * ROUND))
            changes.append(f"training.stages.{stage.name}.iterations={stage.iterations}")
        stages.append(stage)
    torso = config.torso
    if torso.enabled:
        torso = replace(torso, iterations=max(ROUND, math.floor(torso.iterations * share / ROUND) * ROUND))
        changes.append(f"torso.iterations={torso.iterations}")
    return replace(config, training=replace(config.training, stages=tuple(stages)), torso=torso), tuple(changes)


def resized(config: FitConfig, size: int) -> tuple[FitConfig, tuple[str, ...]]:
    """The recipe for pictures of another size, with Gaussians as the area of these."""
    if size == config.image_size:
        return config, ()
    area, model = (size / config.image_size) ** 2, config.model
    face, mouth = (max(1, round(branch.count * area)) for branch in (model.face, model.mouth))
    model = replace(model, face=replace(model.face, count=face), mouth=replace(model.mouth, count=mouth))
    changes = f"image_size={size}", f"model.face.count={face}", f"model.mouth.count={mouth}"
    return replace(config, image_size=size, model=model), changes


def first_plan(
    seconds: float, config: FitConfig, clip: ClipFacts, paces: dict[int, Pace], done: Sequence[int] = ()
) -> Plan:
    """The largest picture whose fit has enough steps in the time, else the one with the most.

    Args:
        seconds: there are.
        config: the recipe.
        clip: the clip.
        paces: by size of the picture, the recipe's own and the smaller ones of :data:`SIZES`.
        done: sizes at which the clip is prepared already.

    Raises:
        UserError: not even the least of the recipe fits in; says how much would.
    """
    plans, needed = [], math.inf
    for size, pace in sorted(paces.items(), reverse=True):
        sized, changes = resized(config, size)
        plan = fitted_into(seconds, sized, clip, pace, prepared=size in done)
        if plan.share >= LEAST:
            plans.append(replace(plan, sizes=changes))
        shortest = fitted_into(0.0, sized, clip, pace, prepared=size in done, least=LEAST)
        needed = min(needed, shortest.seconds / (1 - KEPT_BACK))
    if not plans:
        minutes = math.ceil(1.05 * needed / 6) / 10
        do = "give it so many, or a shorter clip"
        raise UserError(f"at least {minutes:.1f} minutes for this clip on this machine", f"{seconds / 60:.1f}", do)
    return next((plan for plan in plans if plan.share >= ENOUGH), max(plans, key=lambda plan: plan.share))
