"""The one training loop, for the head's stages and for those of tasks after it, the torso's.

A stage is data; random numbers are a function of seed, stage and step.

Because every step draws from generators seeded by its own position, a resumed run makes
exactly the draws that the uninterrupted run makes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gaussavatar.media.images import write_image
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.progress import Progress
from gaussavatar.render.recording import Record
from gaussavatar.training.checkpoint import Position, Saved, read_checkpoint, restore_optimizer, save_checkpoint
from gaussavatar.training.config import ProgressConfig, StageConfig, TrainingConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.guards import Guard, TrainingError
from gaussavatar.training.head_task import HeadTask
from gaussavatar.training.log import LOG_EVERY, TrainingLog, figures_of
from gaussavatar.training.poses import with_poses
from gaussavatar.training.step import Run
from gaussavatar.training.stepping import Steps, recorder
from gaussavatar.training.task import StageWork, Task

__all__ = ["PosePass", "Run", "TrainingError", "train"]

PosePass = Callable[[StageConfig, AvatarModel, Clip, Progress], Clip]
"""Refines the head poses of a clip against a frozen avatar."""


class _Pace:
    """Lets something happen at most so often."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def is_due(self) -> bool:
        """Whether enough time has gone by since this was last true."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


@dataclass(frozen=True)
class _Common:
    """What all stages share."""

    folder: Path
    config: TrainingConfig
    intervals: ProgressConfig
    log: TrainingLog
    refine_poses: Callable[[StageConfig, Clip], Clip]
    progress: Progress
    record: Record | None
    """What records steps; None launches each of them anew."""
    kept: _Pace
    """Checkpoints."""
    shown: _Pace
    """Pictures."""


@dataclass
class _Section:
    """The stages of one task, numbered from ``first``, the checkpoint to go on from, and the poses refined so far."""

    task: Task
    first: int
    saved: Saved | None
    poses: dict[str, Tensor]

    @property
    def position(self) -> Position:
        """Where training of the task begins."""
        return self.saved.position if self.saved is not None else Position(self.first, 0)

    @property
    def finished(self) -> bool:
        """Whether the checkpoint is that of the last step."""
        stages = enumerate(self.task.stages, self.first)
        ends = [(number, stage.iterations) for number, stage in stages if stage.kind == "fit" and stage.iterations > 0]
        if not ends:
            return True
        return self.saved is not None and (self.saved.position.stage, self.saved.position.iteration) >= ends[-1]


@dataclass(frozen=True)
class _Stage:
    """A stage at work."""

    section: _Section
    common: _Common
    optimizer: torch.optim.Optimizer
    number: int
    config: StageConfig
    work: StageWork
    guard: Guard


def train(
    run: Run, config: TrainingConfig, refine_poses: PosePass, progress: Progress, later: tuple[Task, ...] = ()
) -> Clip:
    """Run the stages of ``config``, then those of ``later`` tasks; each goes on from its checkpoint, if any.

    Returns the clip, with refined poses where a stage refined them.

    Raises:
        TrainingError: a loss, a gradient or a parameter stopped being a number, or gradients exploded.
    """
    sections = _sections((HeadTask(run, config), *later), run.folder, progress)
    stages = tuple(stage for section in sections for stage in section.task.stages)
    reached = next((section for section in reversed(sections) if section.saved is not None), sections[0])
    log = TrainingLog(run.folder, stages, reached.position, progress)

    def refine(stage: StageConfig, clip: Clip) -> Clip:
        return refine_poses(stage, run.model, clip, progress)

    record = recorder(run.device, config.record_steps)
    least = 0.0 if run.device.type == "cpu" else run.intervals.least_seconds
    common = _Common(run.folder, config, run.intervals, log, refine, progress, record, _Pace(least), _Pace(least))
    clip = run.clip
    try:
        with _precise(run.device):
            for section in sections:
                clip = _run_section(section, common, clip)
    finally:
        log.close()
    return clip


def _sections(tasks: Sequence[Task], folder: Path, progress: Progress) -> list[_Section]:
    """The tasks with their checkpoints. What builds on a task that is not finished begins anew."""
    sections: list[_Section] = []
    first = 0
    for task in tasks:
        usable = all(section.finished for section in sections)
        saved = read_checkpoint(folder, task.key, progress, task.checkpoint) if usable else None
        sections.append(_Section(task, first, saved, saved.part("extra.poses.") if saved else {}))
        first += len(task.stages)
    return sections


def _run_section(section: _Section, common: _Common, clip: Clip) -> Clip:
    """Train one task; returns the clip with the poses that it refined."""
    task, position = section.task, section.position
    optimizer = task.open(clip, section.saved)
    common.log.pause()
    if section.saved is None:
        _save(section, common, optimizer, position, {})
    else:
        restore_optimizer(section.saved, optimizer)
    for number, stage in enumerate(task.stages, section.first):
        if stage.kind == "poses":
            done = number < position.stage and "R" in section.poses
            clip = clip if done else common.refine_poses(stage, clip)
            section.poses = section.poses if done else _poses_of(clip)
            clip = with_poses(clip, section.poses["R"].numpy(), section.poses["t"].numpy())
            common.log.pause()
            continue
        start = position.iteration if number == position.stage else 0
        if number >= position.stage and start < stage.iterations:
            guard = Guard(task.setting(number), stage, optimizer, common.config.clip_gradients)
            work = task.at(number, stage, clip)
            _run_stage(_Stage(section, common, optimizer, number, stage, work, guard), start)
    task.close()
    return clip


def _poses_of(clip: Clip) -> dict[str, Tensor]:
    return {
        "R": torch.from_numpy(clip.tracking.R_camera_head),
        "t": torch.from_numpy(clip.tracking.t_camera_head),
    }


@contextmanager
def _precise(device: torch.device) -> Iterator[None]:
    """Keep a GPU's convolutions at full precision: a structural similarity of rounded moments is noise."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=False):
        yield


def _save(
    section: _Section,
    common: _Common,
    optimizer: torch.optim.Optimizer,
    position: Position,
    extra: dict[str, Tensor],
) -> None:
    task = section.task
    poses = {f"poses.{name}": value for name, value in section.poses.items()}
    save_checkpoint(common.folder, task.key, position, task.modules, optimizer, {**poses, **extra}, task.checkpoint)


def _run_stage(stage: _Stage, start: int) -> None:
    """Steps ``start`` to the end of one stage; frames of the next step are read meanwhile."""
    saved, work, iterations = stage.section.saved, stage.work, stage.config.iterations
    if saved is not None and start > 0:
        stage.guard.restore(saved.part("extra.guard."))
        work.restore(saved.part("extra."))
    name = f"training: {stage.config.name}"
    record = stage.common.record
    steps = Steps(stage.config, work, stage.optimizer, stage.guard, stage.common.progress.say, record)
    with ThreadPoolExecutor(1) as reader, stage.common.progress.stage(name, iterations, start) as advance:
        upcoming = reader.submit(work.fetch, start)
        for iteration in range(start, iterations):
            frames, batch = upcoming.result()
            alone, following = steps.records_next, min(iteration + 1, iterations - 1)
            upcoming = upcoming if alone else reader.submit(work.fetch, following)
            parts = steps.take(iteration, frames, batch)
            upcoming = reader.submit(work.fetch, following) if alone else upcoming
            if _after(stage, iteration, parts):
                steps.forget()
            advance(1)
    steps.close()


def _after(stage: _Stage, iteration: int, parts: dict[str, Tensor]) -> bool:
    """What follows a step: growth, log, picture, checkpoint; returns whether Gaussians came or went."""
    common, guard, work, done = stage.common, stage.guard, stage.work, iteration + 1
    task, intervals = stage.section.task, stage.common.intervals
    changed = work.after_step(iteration)
    if iteration % LOG_EVERY == 0:
        guard.look(iteration)
        rates = {group["name"]: group["lr"] for group in stage.optimizer.param_groups}
        figures = figures_of(parts, guard.names, guard.norms, rates) | {"gaussians": work.counts()}
        common.log.write(stage.number, stage.config, iteration, figures)
    last = done == stage.config.iterations
    shows = intervals.preview_every and done % intervals.preview_every == 0 and common.shown.is_due()
    if shows or (intervals.preview_every and last):
        picture = work.picture()
        write_image(common.folder / task.preview, picture)
        common.log.picture(stage.number, iteration, picture)
    if last or (done % intervals.checkpoint_every == 0 and common.kept.is_due()):
        guard.look(iteration, parameters=True)
        extra = {f"guard.{name}": value for name, value in guard.state().items()} | work.state()
        _save(stage.section, common, stage.optimizer, Position(stage.number, done), extra)
    return changed
