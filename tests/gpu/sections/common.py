"""What several sections share: the device, sizes, a made-up run on it, and distances of tensors."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from runner import Options, Skip
from torch import Tensor

from gaussavatar.bench.made_up import made_up_run
from gaussavatar.fitting.recipe import FitConfig, load_recipe
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.render.api import Rasterizer, get_rasterizer
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import BatchReader, draw_frames, resident_frames
from gaussavatar.training.guards import Guard
from gaussavatar.training.step import Run, make_optimizer, set_rates, step_loss

SMALL = (
    "image_size=64",
    "model.face.count=400",
    "model.mouth.count=100",
    "audio.batches.versions=2",
    "audio.batches.plain_versions=1",
)
"""Sizes of a rehearsal."""
SPOILT = 0.15
"""Standard deviation of what :func:`spoil` adds to colours; to the logits of opacities twice that."""


def place(options: Options) -> torch.device:
    """The device of the check.

    Raises:
        Skip: it is a GPU, and torch sees none.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise Skip("no CUDA device")
    return torch.device(options.device)


def recipe(name: str, options: Options, *overrides: str) -> FitConfig:
    """A recipe, shrunk for a rehearsal."""
    return load_recipe(name, (*overrides, *(SMALL if options.small else ())))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def rasterizers(device: torch.device) -> Iterator[tuple[str, Rasterizer]]:
    """Every rasterizer that is there for the device, by name."""
    if device.type == "cpu":
        yield "native", get_rasterizer(device, "native")
    elif importlib.util.find_spec("gsplat") is not None:
        yield "gsplat", get_rasterizer(device, "gsplat")
    yield "torch", get_rasterizer(device, "torch")


def off(found: Tensor, true: Tensor) -> float:
    """Distance of two tensors relative to the norm of the second."""
    found, true = found.detach().double().cpu(), true.detach().double().cpu()
    return float((found - true).norm() / true.norm().clamp_min(1e-30))


def made_up(config: FitConfig, folder: Path, frames: int, device: torch.device) -> Run:
    """A run on a made-up clip in a folder of its own."""
    folder.mkdir(parents=True)
    return made_up_run(config, folder, frames, device)


def spoil(model: AvatarModel) -> None:
    """Take a model away from the clip whose pictures were rendered from it: there, losses have nothing but kinks."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for branch in (model.face, model.mouth):
            for tensor, size in ((branch.gaussians.colors, SPOILT), (branch.gaussians.logit_opacities, 2 * SPOILT)):
                tensor.add_(size * torch.randn(tensor.shape, generator=generator).to(tensor.device))


def moved(run: Run, device: torch.device, rasterizer: Rasterizer) -> Run:
    """A copy of a run on another device."""
    return replace(
        run,
        model=copy.deepcopy(run.model).to(device),
        encoder=copy.deepcopy(run.encoder).to(device),
        closed=run.closed.to(device),
        rasterizer=rasterizer,
        device=device,
    )


def stepper(run: Run, stage: StageConfig, config: FitConfig) -> Callable[[int], dict[str, Tensor]]:
    """A function that does one step of training, as the loop does it, and gives the weighted losses."""
    optimizer = make_optimizer(run)
    guard = Guard(0, stage, optimizer, config.training.clip_gradients)
    resident = resident_frames(run.clip, run.device) if run.device.type == "cuda" else None
    reader = BatchReader(run.clip, stage.losses, run.device, resident)

    def step(number: int) -> dict[str, Tensor]:
        indices = draw_frames(run.clip, stage, np.random.default_rng(number))
        batch = reader.read(indices)
        set_rates(optimizer, stage, 0)
        optimizer.zero_grad(set_to_none=True)
        parts = step_loss(run, stage, batch, indices, number).parts
        guard.losses(number, parts, indices)
        torch.stack(list(parts.values())).sum().backward()
        guard.gradients(number, indices)
        optimizer.step()
        return parts

    return step
