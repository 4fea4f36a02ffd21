"""The one training loop. A stage is data; random numbers are a function of seed, stage and step.

Because every step draws from generators seeded by its own position, a resumed run makes
exactly the draws that the uninterrupted run makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gaussavatar.model.avatar import AvatarModel
from gaussavatar.progress import Advance, Progress
from gaussavatar.training.checkpoint import (
    Position,
    Saved,
    read_checkpoint,
    restore_optimizer,
    restore_weights,
    save_checkpoint,
)
from gaussavatar.training.config import StageConfig, TrainingConfig
from gaussavatar.training.data import Batch, BatchReader, Clip, draw_frames, resident_frames, wants_resident
from gaussavatar.training.densify import GrowthStatistics, is_due, refine
from gaussavatar.training.guards import Guard, TrainingError
from gaussavatar.training.log import LOG_EVERY, TrainingLog, figures_of
from gaussavatar.training.poses import with_poses
from gaussavatar.training.preview import preview_picture, write_preview
from gaussavatar.training.step import Run, is_still, make_optimizer, set_rates, step_loss, step_seed

__all__ = ["PosePass", "Run", "TrainingError", "train"]

PosePass = Callable[[StageConfig, AvatarModel, Clip, Progress], Clip]
"""Refines the head poses of a clip against a frozen avatar."""

GROWTH_STREAM = 1
"""Sets the random numbers of a refinement apart from those of the step before it."""


@dataclass
class _Work:
    """What the stages of one run share."""

    config: TrainingConfig
    optimizer: torch.optim.Optimizer
    modules: nn.ModuleDict
    saved: Saved | None
    log: TrainingLog
    poses: dict[str, Tensor]
    resident: dict[str, Tensor] | None


def train(run: Run, config: TrainingConfig, refine_poses: PosePass, progress: Progress) -> Clip:
    """Run the stages of ``config``, going on from a checkpoint where there is one.

    Returns the clip, with refined poses where a stage refined them.

    Raises:
        TrainingError: a loss, a gradient or a parameter stopped being a number, or gradients exploded.
    """
    modules = nn.ModuleDict({"avatar": run.model, "encoder": run.encoder})
    saved = read_checkpoint(run.folder, run.key, progress)
    if saved is not None:
        restore_weights(saved, modules)
    optimizer = make_optimizer(run)
    if saved is not None:
        restore_optimizer(saved, optimizer)
    position = saved.position if saved else Position(0, 0)
    log = TrainingLog(run.folder, config.stages, position, progress)
    resident = (
        resident_frames(run.clip, run.device) if wants_resident(run.clip, run.device, config.data_on_device) else None
    )
    work = _Work(config, optimizer, modules, saved, log, saved.part("extra.poses.") if saved else {}, resident)
    if saved is None:
        _save(run, work, position, {})
    clip = run.clip
    try:
        with _precise(run.device):
            for number, stage in enumerate(config.stages):
                if stage.kind == "poses":
                    done = number < position.stage and "R" in work.poses
                    clip = clip if done else refine_poses(stage, run.model, clip, progress)
                    work.poses = work.poses if done else _poses_of(clip)
                    clip = with_poses(clip, work.poses["R"].numpy(), work.poses["t"].numpy())
                    log.pause()
                    continue
                start = position.iteration if number == position.stage else 0
                if number < position.stage or start >= stage.iterations:
                    continue
                _run_stage(replace(run, clip=clip), work, number, start, progress)
    finally:
        log.close()
    run.model.requires_grad_(False)
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


def _save(run: Run, work: _Work, position: Position, extra: dict[str, Tensor]) -> None:
    poses = {f"poses.{name}": value for name, value in work.poses.items()}
    save_checkpoint(run.folder, run.key, position, work.modules, work.optimizer, {**poses, **extra})


def _run_stage(run: Run, work: _Work, number: int, start: int, progress: Progress) -> None:
    """Steps ``start`` to the end of one stage; frames of the next step are read meanwhile."""
    stage = work.config.stages[number]
    reading = BatchReader(run.clip, stage.losses, run.device, work.resident)
    guard = Guard(number, stage, work.optimizer, work.config.clip_gradients)
    growth = GrowthStatistics(run.model, stage) if stage.densify else None
    if work.saved is not None and start > 0:
        guard.restore(work.saved.part("extra.guard."))
        if growth is not None:
            growth.restore(work.saved.part("extra.growth."))

    def fetch(iteration: int) -> tuple[np.ndarray, Batch]:
        random = np.random.default_rng(step_seed(run.seed, number, iteration))
        indices = draw_frames(run.clip, stage, random, iteration / max(1, stage.iterations))
        return indices, reading.read(indices)

    run.encoder.train()
    name = f"training: {stage.name}"
    with ThreadPoolExecutor(1) as reader, progress.stage(name, stage.iterations) as advance:
        advance(start)
        upcoming = reader.submit(fetch, start)
        for iteration in range(start, stage.iterations):
            indices, batch = upcoming.result()
            upcoming = reader.submit(fetch, min(iteration + 1, stage.iterations - 1))
            parts = _step(run, work, guard, growth, number, iteration, indices, batch)
            _after(run, work, guard, growth, number, iteration, parts, advance)


def _step(
    run: Run,
    work: _Work,
    guard: Guard,
    growth: GrowthStatistics | None,
    number: int,
    iteration: int,
    indices: np.ndarray,
    batch: Batch,
) -> dict[str, Tensor]:
    """One step of the optimiser; returns the weighted losses."""
    stage = work.config.stages[number]
    set_rates(work.optimizer, stage, iteration)
    work.optimizer.zero_grad(set_to_none=True)
    step = step_loss(run, stage, batch, indices, step_seed(run.seed, number, iteration))
    guard.losses(iteration, step.parts, indices)
    if growth is not None:
        growth.watch(step.rendered)
    torch.stack(list(step.parts.values())).sum().backward()
    if growth is not None:
        growth.add(step.rendered, batch.cameras)
    guard.gradients(iteration, indices)
    work.optimizer.step()
    return {name: value.detach() for name, value in step.parts.items()}


def _after(
    run: Run,
    work: _Work,
    guard: Guard,
    growth: GrowthStatistics | None,
    number: int,
    iteration: int,
    parts: dict[str, Tensor],
    advance: Advance,
) -> None:
    """What follows a step: refinement, log, picture, checkpoint."""
    stage, done = work.config.stages[number], iteration + 1
    if growth is not None and is_due(stage.densify, done):
        seed = step_seed(run.seed + GROWTH_STREAM * 2**32, number, iteration)
        refine(run.model, growth, stage, done, run.clip, work.optimizer, seed)
    if iteration % LOG_EVERY == 0:
        guard.look(iteration)
        rates = {group["name"]: group["lr"] for group in work.optimizer.param_groups}
        counts = {"face": len(run.model.face.gaussians), "mouth": len(run.model.mouth.gaussians)}
        figures = figures_of(parts, guard.names, guard.norms, rates) | {"gaussians": counts}
        work.log.write(number, stage, iteration, figures)
    last = done == stage.iterations
    if run.intervals.preview_every and (done % run.intervals.preview_every == 0 or last):
        picture = preview_picture(run, is_still(stage))
        write_preview(run.folder, picture)
        work.log.picture(number, iteration, picture)
    if done % run.intervals.checkpoint_every == 0 or last:
        guard.look(iteration, parameters=True)
        extra = {f"guard.{name}": value for name, value in guard.state().items()}
        if growth is not None:
            extra |= {f"growth.{name}": value for name, value in growth.state().items()}
        _save(run, work, Position(number, done), extra)
    advance(1)
