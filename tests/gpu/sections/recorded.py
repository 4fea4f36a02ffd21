"""Steps replayed from a CUDA graph against steps launched one by one: the same training, and how much faster."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from runner import Options, Report
from sections.common import made_up, off, place, recipe, spoil, synchronize
from torch import Tensor

from gaussavatar.bench.step import fullest_stage
from gaussavatar.fitting.recipe import FitConfig
from gaussavatar.native.threads import frame_parallel
from gaussavatar.render.api import get_rasterizer
from gaussavatar.render.recording import Record
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.guards import Guard
from gaussavatar.training.head_task import HeadTask
from gaussavatar.training.step import Run
from gaussavatar.training.stepping import Steps, recorder

CHANGE = 0.05
"""Bound on the distance of two trainings' changes relative to the change itself: atomics add in another order, and
Adam divides by small gradients."""
LOOKED_AT, TIMED = 12, 80
"""Steps until parameters are compared, and steps that are timed after."""


def check(report: Report, options: Options) -> None:
    """The still stage and the fullest stage of ``default``, each from the same start."""
    device = place(options)
    config = recipe("default", options)
    first = next(stage for stage in config.training.stages if stage.kind == "fit")
    with frame_parallel():
        run = made_up(config, options.work / "recorded", 60 if options.small else 200, device)
        spoil(run.model)
        for stage in (first, fullest_stage(config)):
            _compare(report, options, config, run, stage)


def _compare(report: Report, options: Options, config: FitConfig, run: Run, stage: StageConfig) -> None:
    record = recorder(run.device, True) if run.device.type == "cuda" else _called_again
    said: list[str] = []
    start = {name: value.clone() for name, value in run.model.state_dict().items()}
    changes = {}
    for name, way in (("launched", None), ("replayed", record)):
        copied = replace(run, model=copy.deepcopy(run.model), encoder=copy.deepcopy(run.encoder))
        copied = replace(copied, rasterizer=get_rasterizer(run.device))
        steps, one, guard = _steps(copied, stage, config, said.append, way)
        for number in range(LOOKED_AT):
            one(number)
        ended = copied.model.state_dict()
        changes[name] = {key: (ended[key] - value).clone() for key, value in start.items() if value.is_floating_point()}
        synchronize(run.device)
        began, count = time.perf_counter(), 4 if options.small else TIMED
        for number in range(LOOKED_AT, LOOKED_AT + count):
            one(number)
        synchronize(run.device)
        report.note(f"{stage.name}: {name}", step_ms=(time.perf_counter() - began) * 1e3 / count)
        guard.look(0)
        steps.close()
    moved = {key: value for key, value in changes["launched"].items() if float(value.norm()) > 0}
    apart = {key: off(changes["replayed"][key], value) for key, value in moved.items()}
    worst = max(apart, key=lambda key: apart[key])
    report.note(f"{stage.name}: apart", worst=apart[worst], which=worst, parameters=len(moved))
    report.expect(apart[worst] < CHANGE, f"{stage.name}: {worst} is off by {apart[worst]:.2g} after replayed steps")
    report.expect(not said, " ".join(said))
    if run.device.type == "cuda":
        report.note(f"{stage.name}: apart", peak_gpu_mib=torch.cuda.max_memory_allocated() >> 20)


def _steps(
    run: Run, stage: StageConfig, config: FitConfig, say: Callable[[str], Any], record: Record | None
) -> tuple[Steps, Callable[[int], dict[str, Tensor]], Guard]:
    """What takes steps as the loop does; the loop's reader is left out."""
    task = HeadTask(run, config.training)
    clip: Clip = run.clip
    optimizer = task.open(clip, None)
    work = task.at(0, stage, clip)
    guard = Guard("training", stage, optimizer, config.training.clip_gradients)
    steps = Steps(stage, work, optimizer, guard, say, record)

    def one(number: int) -> dict[str, Tensor]:
        frames, batch = work.fetch(number)
        return steps.take(number, frames, batch)

    return steps, one, guard


def _called_again(work: Callable[[], dict[str, Tensor]]) -> tuple[Callable[[], None], dict[str, Tensor]]:
    """On the CPU, where nothing is recorded: the function, called again."""
    results: dict[str, Tensor] = {}

    def replay() -> None:
        results.update(work())

    return replay, results
