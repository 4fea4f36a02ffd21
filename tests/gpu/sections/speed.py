"""How fast: the rasterizer, training steps, and frames that only play."""

from __future__ import annotations

import time

import numpy as np
import torch
from runner import Options, Report
from sections.common import place, recipe, synchronize
from torch import Tensor

from gaussavatar.avatar.drawings import Drawings
from gaussavatar.bench.made_up import N_UPPER, made_up_model
from gaussavatar.bench.raster import bench_raster, head_scene
from gaussavatar.bench.step import bench_step
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.native.threads import frame_parallel
from gaussavatar.render.api import get_rasterizer
from gaussavatar.render.device import choose_device
from gaussavatar.render.semantics import RecordableRasterizer

from sections.common import SMALL  # isort: skip

CASES = ((256, 10_000), (512, 15_000), (512, 30_000), (512, 50_000))
RECIPES = ("default", "quality", "few-seconds", "talking-gaussian")


def raster(report: Report, options: Options) -> None:
    """Milliseconds per frame of the rasterizer and the image loss, alone and four at a time."""
    device = place(options)
    cases = ((64, 500),) if options.small else CASES
    for batch in (1, 4):
        found = bench_raster(
            cases=cases, threads=(1,), batch=batch, repetitions=2 if options.small else 20, device=device.type
        )
        for row in found["rows"]:
            label = f"{row['what']} {row['size']} px {row['count']} x{batch}"
            report.note(label, p25_ms=row["p25"], median_ms=row["median"])


def step(report: Report, options: Options) -> None:
    """Milliseconds of a training step's parts for the recipes' sizes."""
    device = choose_device(place(options).type)  # type: ignore[arg-type]
    repetitions, frames = (2, 60) if options.small else (40, 400)
    for name in RECIPES[:1] if options.small else RECIPES:
        # The published recipe begins small and densifies; this is where it arrives.
        grown = ("model.face.count=20000",) if name == "talking-gaussian" else ()
        overrides = (*grown, *(SMALL if options.small else ()))
        found = bench_step(name, overrides, device.type, repetitions, frames)  # type: ignore[arg-type]
        sizes = {key: found[key] for key in ("pixels", "face", "mouth", "batch")}
        report.note(name, steps_per_second=found["steps_per_second"], **sizes, **found["parts"])
        if device.type == "cuda":
            report.note(name, peak_gpu_mib=torch.cuda.max_memory_allocated() >> 20)
            torch.cuda.reset_peak_memory_stats()


def frames(report: Report, options: Options) -> None:
    """Frames per second of an avatar of the recipe's sizes that only plays: motion, rasterizing, layers."""
    device = place(options)
    for name in ("preview", "default", "quality"):
        config = recipe(name, options)
        model = made_up_model(config, config.motion.n_mouth).to(device)
        for size in (64,) if options.small else (256, 512):
            for batch in (1, 4):
                rate = frames_per_second(model, device, size, batch, 2 if options.small else 60)
                report.note(f"{name} {size} px x{batch}", per_second=rate)


def frames_per_second(model: AvatarModel, device: torch.device, size: int, batch: int, repetitions: int) -> float:
    """Frames per second by the lower quartile of the times, each of which ends when the picture is there."""
    rasterizer, generator, drawings = get_rasterizer(device), torch.Generator().manual_seed(0), Drawings()
    cameras = head_scene(size, 1, batch, device=device.type)[1]
    codes = torch.randn(batch, model.n_mouth, generator=generator).to(device)
    upper = torch.rand(batch, model.n_upper or N_UPPER, generator=generator).to(device)
    under = torch.full((batch, size, size, 3), 0.6, device=device)

    def draw() -> Tensor:
        if isinstance(rasterizer, RecordableRasterizer):
            return drawings.draw(model, rasterizer, codes, upper, cameras, under).image
        return model.render(rasterizer, codes, upper, cameras, under).image

    times = []
    with torch.no_grad(), frame_parallel():
        for _ in range(repetitions + 3):
            synchronize(device)
            started = time.perf_counter()
            draw()
            synchronize(device)
            times.append(time.perf_counter() - started)
    return batch / float(np.quantile(times[3:], 0.25))
