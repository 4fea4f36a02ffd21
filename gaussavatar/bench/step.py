"""Speed of a training step and of its parts, and the memory of a long clip, for a recipe's sizes on made-up data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaussavatar.bench.machine import load_average
from gaussavatar.bench.made_up import made_up_run
from gaussavatar.errors import UserError
from gaussavatar.fitting.recipe import FitConfig, load_recipe
from gaussavatar.fitting.stages import peak_memory_mib
from gaussavatar.image.losses import photometric_loss
from gaussavatar.native.threads import frame_parallel
from gaussavatar.parallel import usable_cores
from gaussavatar.render.composite import composite
from gaussavatar.render.device import DeviceWish, choose_device
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Batch, BatchReader, draw_frames, resident_frames, wants_resident
from gaussavatar.training.guards import Guard
from gaussavatar.training.step import Run, Step, is_still, make_optimizer, set_rates, step_loss, step_seed
from gaussavatar.types import Activated, Rendered

FRAMES = 15_000
"""Frames of the made-up clip: ten minutes."""

WARM_UP = 3
"""Repetitions before the clock runs."""

PARTS = ("read", "audio", "deform", "raster", "loss", "forward", "backward", "optimiser", "step")


def bench_step(
    recipe: str = "preview",
    overrides: tuple[str, ...] = (),
    device: DeviceWish = "auto",
    repetitions: int = 60,
    frames: int = FRAMES,
) -> dict[str, Any]:
    """Time a step of the recipe's last stage that trains everything.

    ``audio``, ``deform``, ``raster`` and ``loss`` are what ``forward`` consists of, each
    measured by itself; ``step`` is forward, backward and optimiser. Reading happens beside the
    step in training. Times are lower quartiles in milliseconds.

    Returns:
        Facts of the machine and the scene, ``parts`` by name, ``steps_per_second`` and the
        process's ``peak_mib``, which includes the program itself.

    Raises:
        UserError: unknown recipe or fields, no such device, or a recipe without training.
    """
    config = load_recipe(recipe, overrides)
    place = choose_device(device)
    stage = fullest_stage(config)
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="gaussavatar-bench-") as folder, frame_parallel():
        run = made_up_run(config, Path(folder), frames, place)
        times = _timed(run, stage, config, repetitions)
    parts = {name: float(np.percentile(times[name], 25)) for name in PARTS if times[name]}
    return {
        "recipe": recipe,
        "stage": stage.name,
        "device": torch.cuda.get_device_name() if place.type == "cuda" else "cpu",
        "cores": usable_cores(),
        "load_before": load_before,
        "load_after": load_average(),
        "pixels": config.image_size,
        "face": len(run.model.face.gaussians),
        "mouth": len(run.model.mouth.gaussians),
        "batch": stage.batch,
        "clip_frames": frames,
        "repetitions": repetitions,
        "parts": parts,
        "steps_per_second": 1000 / parts["step"],
        "peak_mib": peak_memory_mib(),
    }


def fullest_stage(config: FitConfig) -> StageConfig:
    """The stage that trains most: with motion, and with sound where one has it.

    Raises:
        UserError: the recipe has no stage that trains.
    """
    stages = [stage for stage in config.training.stages if stage.kind == "fit"]
    if not stages:
        raise UserError("a recipe that trains", "one without such a stage", "name another one with --recipe")
    return max(stages, key=lambda stage: (not is_still(stage), stage.audio_share > 0, len(stage.train)))


def format_step(figures: dict[str, Any]) -> str:
    """The result of :func:`bench_step` as text."""
    facts = ", ".join(f"{name} {value}" for name, value in figures.items() if name not in ("parts", "steps_per_second"))
    lines = [facts, *(f"{name:<12} {value:8.2f} ms" for name, value in figures["parts"].items())]
    return "\n".join([*lines, f"{'':12} {figures['steps_per_second']:8.1f} steps per second"])


class _Clock:
    """Milliseconds by part; nothing is kept before ``running``."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.running = False
        self.times: dict[str, list[float]] = {name: [] for name in PARTS}

    def __call__(self, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        result = work(*arguments)
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.add(name, (time.perf_counter() - started) * 1e3)
        return result

    def add(self, name: str, milliseconds: float) -> None:
        if self.running:
            self.times[name].append(milliseconds)


def _timed(run: Run, stage: StageConfig, config: FitConfig, repetitions: int) -> dict[str, list[float]]:
    """Milliseconds of every part in every repetition; the first ones, which warm up, are left out."""
    optimizer = make_optimizer(run)
    guard = Guard(f"training.stages.{stage.name}", stage, optimizer, config.training.clip_gradients)
    hold = wants_resident(run.clip, run.device, config.training.data_on_device)
    resident = resident_frames(run.clip, run.device) if hold else None
    reader = BatchReader(run.clip, stage.losses, run.device, resident)
    clock, still = _Clock(run.device), is_still(stage)
    for repetition in range(repetitions + WARM_UP):
        clock.running = repetition >= WARM_UP
        seed = step_seed(run.seed, 0, repetition)
        indices = draw_frames(run.clip, stage, np.random.default_rng(seed))
        batch: Batch = clock("read", reader.read, indices)
        set_rates(optimizer, stage, 0)
        optimizer.zero_grad(set_to_none=True)
        if stage.audio_share > 0:
            clock("audio", _hear, run, indices, torch.Generator().manual_seed(seed))
        face, mouth, _ = clock("deform", run.model.activate, batch.mouth_codes, batch.upper, still)
        layers = clock("raster", _draw, run, (face, mouth), batch)
        clock("loss", _image_loss, layers, batch, stage)
        started = time.perf_counter()
        step: Step = clock("forward", step_loss, run, stage, batch, indices, seed)
        clock("backward", torch.stack(list(step.parts.values())).sum().backward)
        clock("optimiser", _update, guard, optimizer, repetition, indices)
        clock.add("step", (time.perf_counter() - started) * 1e3)
    return clock.times


def _hear(run: Run, indices: np.ndarray, generator: torch.Generator) -> Tensor:
    sound = run.audio.sample(torch.from_numpy(indices), generator)
    return run.encoder(sound.to(run.device, non_blocking=True))


def _draw(run: Run, branches: tuple[Activated, Activated], batch: Batch) -> list[Rendered]:
    return [run.rasterizer(branch, batch.cameras) for branch in branches]


def _image_loss(layers: list[Rendered], batch: Batch, stage: StageConfig) -> Tensor:
    face, mouth = layers
    image = composite(face, mouth, batch.under)
    alpha = (face.alpha - batch.head).abs().mean() + ((1 - mouth.alpha) * batch.inside).mean()
    return photometric_loss(image, batch.frames, batch.weight, stage.losses.dssim) + alpha


def _update(guard: Guard, optimizer: torch.optim.Optimizer, iteration: int, indices: np.ndarray) -> None:
    guard.gradients(iteration, indices)
    optimizer.step()
