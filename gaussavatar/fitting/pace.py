"""How fast this machine is: by a small scene before anything is done, by the clip itself before training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.pretrain import encoder_config
from gaussavatar.fitting.plan import Pace, coarse_share
from gaussavatar.fitting.preparation import Job
from gaussavatar.fitting.training import open_prepared, start_run
from gaussavatar.progress import QuietProgress
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import scratch_folder
from gaussavatar.training.config import StageConfig
from gaussavatar.training.guards import Guard
from gaussavatar.training.head_task import HeadTask
from gaussavatar.training.poses import refine_poses
from gaussavatar.training.recorded import WARM_UP as UNRECORDED
from gaussavatar.training.step import Run, is_still
from gaussavatar.training.stepping import Steps, recorder
from gaussavatar.types import Activated, Cameras

SCENE = 8000
"""Gaussians of the small scene, at 256 px, two frames."""

WARM_UP, TIMED = 2, 7
"""Steps before the clock runs, and steps of which it takes the median."""

POSED = 8
"""Frames whose poses are timed."""

SMALL, LARGE = 256, 512
"""Sides of the pictures that were measured; other sizes lie on the line of their areas."""

KNOWN: dict[str, tuple[float, float]] = {
    "frame": (4.5, 7.0),
    "decoded": (0.9, 0.9),
    "begin": (800.0, 800.0),
    "still": (3.0, 7.3),
    "step": (4.0, 11.2),
    "pose": (2.2, 6.2),
    "voice": (0.5, 0.5),
    "heard": (1.0, 1.0),
    "figure": (2.7, 4.0),
    "end": (300.0, 700.0),
}
"""What the parts of a fit take at both sizes, in small scenes (:func:`small_scene_seconds`)."""


def expected_pace(size: int, unit: float) -> Pace:
    """What is expected of a machine that draws the small scene in ``unit`` seconds."""
    far = (size**2 - SMALL**2) / (LARGE**2 - SMALL**2)
    # Below the smaller size nothing was measured: there a part takes as much of it as its area.
    low = min(1.0, (size / SMALL) ** 2)
    return Pace(**{name: unit * (low * a + max(0.0, far) * (b - a)) for name, (a, b) in KNOWN.items()})


def measured_pace(job: Job, device: torch.device, expected: Pace) -> Pace:
    """What a few steps and poses of the prepared clip take, as the job's recipe has them; the rest is as expected.

    Nothing of the fit's folder but the voices, which training needs too, is written; they cost nothing any more.
    """
    prepared = open_prepared(job)
    config, feature = job.config, open_features(job.config.audio.features)
    encoder = AudioEncoder(encoder_config(feature, prepared.clip.motion.mouth_codes.shape[1], config.audio))
    run = start_run(job, device, "pace", prepared, encoder)
    task = HeadTask(run, config.training)
    optimizer = task.open(run.clip, None)
    # The voices were made on the way here, and are kept.
    found = {"voice": 0.0}
    # Of whole frames rather than of coarse ones, where a stage has them.
    trained = [each for each in enumerate(config.training.stages) if each[1].kind == "fit" and each[1].iterations > 0]
    for number, stage in sorted(trained, key=lambda each: each[1].coarse):
        name = "still" if is_still(stage) else "step"
        if name not in found:
            seconds = _step_seconds(task, number, stage, optimizer, run)
            found[name] = 2 / stage.batch / coarse_share(stage.coarse) * seconds
    task.close()
    passes = [stage for stage in config.training.stages if stage.kind == "poses"]
    if passes:
        found["pose"] = _pose_seconds(run, passes[0])
    return replace(expected, **found)


def _step_seconds(task: HeadTask, number: int, stage: StageConfig, optimizer: torch.optim.Optimizer, run: Run) -> float:
    """A step of a stage, with reading its frames, which in training happens beside it."""
    work = task.at(number, stage, run.clip)
    guard = Guard(task.setting(number), stage, optimizer, 0.0)
    record = recorder(run.device, True)
    steps = Steps(stage, work, optimizer, guard, lambda _: None, record)
    turn = iter(range(1_000_000))

    def step() -> None:
        iteration = next(turn)
        steps.take(iteration, *work.fetch(iteration))

    seconds = _median(step, WARM_UP if record is None else UNRECORDED + WARM_UP)
    steps.close()
    return seconds


def _pose_seconds(run: Run, stage: StageConfig) -> float:
    """One Gauss-Newton step of one frame."""
    usable = np.zeros_like(run.clip.usable)
    known = np.flatnonzero(run.clip.usable)
    usable[known[np.linspace(0, len(known) - 1, min(POSED, len(known))).astype(int)]] = True
    few = replace(run.clip, usable=usable)
    with scratch_folder() as folder:
        once = replace(stage, every=1, iterations=1)
        turn = iter(range(100))

        def refine() -> None:
            refine_poses(once, run.model, few, run.rasterizer, folder, f"pace {next(turn)}", QuietProgress())

        return _median(refine, 1, 3) / int(usable.sum())


def small_scene_seconds() -> float:
    """What this machine takes for drawing a small scene on its CPU and for the gradients of it."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(1, SCENE, 3, generator=generator) * 0.06 + torch.tensor([0.0, 0.0, 0.6])
    quats = torch.nn.functional.normalize(torch.randn(1, SCENE, 4, generator=generator), dim=-1)
    scales, opacities = torch.full((1, SCENE, 3), 0.003), torch.full((1, SCENE), 0.6)
    colors = torch.rand(1, SCENE, 3, generator=generator)
    values = [value.expand(2, *value.shape[1:]).contiguous() for value in (means, quats, scales, opacities, colors)]
    K = torch.tensor([[600.0, 0, 128], [0, 600, 128], [0, 0, 1]]).expand(2, 3, 3).contiguous()
    cameras, rasterizer = Cameras(torch.eye(4).expand(2, 4, 4).contiguous(), K, 256, 256), get_rasterizer("cpu")

    def draw() -> None:
        leaves = [value.clone().requires_grad_() for value in values]
        drawn = rasterizer(Activated(*leaves), cameras)
        (drawn.rgb.sum() + drawn.alpha.sum()).backward()

    return _median(draw)


def _median(work: Callable[[], object], warm_up: int = WARM_UP, timed: int = TIMED) -> float:
    times = []
    for turn in range(warm_up + timed):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if turn >= warm_up:
            times.append(time.perf_counter() - started)
    return float(np.median(times))
