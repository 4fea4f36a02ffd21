"""A recipe trains a made-up clip for a share of its steps, and the picture gets better."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from runner import Options, Report
from sections.common import made_up, place, recipe, spoil
from torch import Tensor

from gaussavatar.avatar.player import to_bytes
from gaussavatar.evaluate.metrics import psnr
from gaussavatar.fitting.recipe import FitConfig
from gaussavatar.media.images import write_image
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Advance, Progress
from gaussavatar.render.api import get_rasterizer
from gaussavatar.training.config import ProgressConfig, StageConfig
from gaussavatar.training.data import Clip, load_batch
from gaussavatar.training.log import NAME
from gaussavatar.training.loop import train
from gaussavatar.training.poses import refine_poses
from gaussavatar.training.step import Run

SHARE, REHEARSED = 0.06, 100
"""Share of a recipe's steps; and the steps of a rehearsal, of all stages together. Half of these have to help."""
SELDOM = ProgressConfig(checkpoint_every=2000, preview_every=0)
"""No pictures and few checkpoints on the way."""
LOOKED_AT = 4
"""Frames whose pictures are compared."""


def check(report: Report, options: Options, name: str) -> None:
    """Spoil the colours, train, and look whether they come back."""
    device = place(options)
    config = recipe(name, options)
    share = REHEARSED / _steps(config) if options.small else SHARE
    config = shortened(config, share * options.scale, *((3, True, 600) if options.small else (20,)))
    with frame_parallel():
        run = made_up(config, options.work / f"train-{name}", 60 if options.small else 200, device)
        run = replace(run, intervals=config.progress)
        spoil(run.model)
        before = _pictures(run)
        started = time.monotonic()
        train(run, config.training, _pose_pass(run), Notes(report))
        seconds = time.monotonic() - started
        after = _pictures(run)
    steps = _steps(config)
    report.note("training", steps=steps, per_second=steps / seconds, face=len(run.model.face.gaussians))
    report.note("training", mouth=len(run.model.mouth.gaussians), losses=_last_losses(run))
    real = load_batch(run.clip, _shown(run), config.training.stages[0].losses).frames
    _write(options, name, real, after)
    figures = [psnr(to_bytes(images), to_bytes(real)) for images in (before, after)]
    report.note("psnr", before=figures[0], after=figures[1])
    better = figures[1] > figures[0] or steps < REHEARSED / 2
    report.expect(better, f"training made the picture worse: {figures[0]:.2f} to {figures[1]:.2f} dB")
    finite = all(
        torch.isfinite(tensor).all() for tensor in run.model.state_dict().values() if tensor.is_floating_point()
    )
    report.expect(finite, "a parameter is not a number")
    if device.type == "cuda":
        report.note("memory", peak_gpu_mib=torch.cuda.max_memory_allocated() >> 20)


class Notes:
    """Progress that notes how fast every stage went."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def say(self, text: str) -> None:
        """To the log."""
        print("   ", text, flush=True)

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Time it."""
        started = time.monotonic()
        yield lambda steps: None
        seconds = time.monotonic() - started
        self._report.note(name, seconds=seconds, steps=total - done, per_second=(total - done) / max(seconds, 1e-9))


def shortened(config: FitConfig, scale: float, least: int, poses: bool = True, most: int = 1_000_000) -> FitConfig:
    """The recipe in a share of its steps, with growth brought forward."""

    def short(stage: StageConfig) -> StageConfig:
        if stage.kind == "poses":
            return replace(stage, iterations=1 if scale < 1 else stage.iterations)
        iterations = max(least, round(stage.iterations * scale))
        densify = stage.densify
        if densify is not None and scale < 1:
            every = max(1, min(densify.every, iterations // 3))
            stop = max(2, round(min(densify.stop, stage.iterations) * scale))
            densify = replace(densify, start=round(densify.start * scale), stop=stop, every=every)
            densify = replace(densify, cap_face=min(densify.cap_face, most), cap_mouth=min(densify.cap_mouth, most))
        return replace(stage, iterations=iterations, densify=densify)

    stages = tuple(short(stage) for stage in config.training.stages if poses or stage.kind == "fit")
    return replace(config, progress=SELDOM, training=replace(config.training, stages=stages, backing=0))


def _pose_pass(run: Run):  # noqa: ANN202
    """As in a fit."""

    def refine(stage: StageConfig, model: AvatarModel, clip: Clip, progress: Progress) -> Clip:
        return refine_poses(stage, model, clip, get_rasterizer(run.device), run.folder, run.key, progress)

    return refine


def _steps(config: FitConfig) -> int:
    return sum(stage.iterations for stage in config.training.stages if stage.kind == "fit")


def _shown(run: Run) -> np.ndarray:
    return np.flatnonzero(run.clip.usable[: run.clip.n_train])[:LOOKED_AT]


def _pictures(run: Run) -> Tensor:
    """What the model renders of a few frames, on the CPU."""
    batch = load_batch(run.clip, _shown(run), StageConfig("look", 1).losses, run.device)
    with torch.no_grad():
        rendered = run.model.render(run.rasterizer, batch.mouth_codes, batch.upper, batch.cameras, batch.under)
    return rendered.image.clamp(0, 1).cpu()


def _last_losses(run: Run) -> dict[str, float]:
    lines = (run.folder / NAME).read_text().splitlines()
    known = {"stage", "number", "step", "gradient", "rate", "gaussians", "steps_per_second"}
    return {name: value for name, value in json.loads(lines[-1]).items() if name not in known}


def _write(options: Options, name: str, real: Tensor, after: Tensor) -> None:
    """Real above rendered, frames side by side."""
    rows = [np.concatenate(list(to_bytes(images)), axis=1) for images in (real, after)]
    write_image(options.out / f"train-{name}.png", np.concatenate(rows))
