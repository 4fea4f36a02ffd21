"""The device against the CPU: a rendered head, and whole training steps, with all gradients.

On the CPU itself the native rasterizer is compared with the torch oracle, so that the comparison is rehearsed too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from runner import Options, Report
from sections.common import made_up, moved, off, place, rasterizers, recipe, spoil
from torch import Tensor

from gaussavatar.bench.raster import head_scene
from gaussavatar.bench.step import fullest_stage
from gaussavatar.native.threads import frame_parallel
from gaussavatar.render.api import Rasterizer, get_rasterizer
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import BatchReader, Clip, draw_frames
from gaussavatar.training.poses import with_poses
from gaussavatar.training.step import Run, parameter_groups, step_loss
from gaussavatar.types import Cameras

IMAGE, GRADIENT = 1e-4, 1e-2
"""Bounds: mean difference of the image, and of each gradient relative to its norm. They are wide, for what is looked
for is a wrong formula: in single precision, sums in another order differ by 1e-5 to 1e-3."""
LOSS = 1e-3
"""Bound on the relative difference of each loss of a step."""
NAMES = ("means", "quats", "scales", "opacities", "colors", "pose")


def raster(report: Report, options: Options) -> None:
    """One scene like a head, on both."""
    device = place(options)
    size, count = (64, 300) if options.small or device.type == "cpu" else (512, 30_000)
    image, alpha, gradients = _drawn(get_rasterizer("cpu"), "cpu", size, count)
    name, rasterizer = _other(device)
    image_2, alpha_2, gradients_2 = _drawn(rasterizer, device.type, size, count)
    difference = (image - image_2).abs()
    mean, most = float(difference.mean()), float(difference.max())
    report.note(f"native and {name}", px=size, gaussians=count, image_mean=mean, image_most=most)
    report.note(f"native and {name}", beyond_1e3=int((difference > 1e-3).sum()), alpha_mean=off(alpha_2, alpha))
    report.expect(mean < IMAGE, f"the image is off by {mean:.2g}")
    distances = {key: off(b, a) for key, a, b in zip(NAMES, gradients, gradients_2, strict=True)}
    report.note("gradients", **distances)
    for key, distance in distances.items():
        report.expect(distance < GRADIENT, f"the gradient of {key} is off by {distance:.2g}")
    again = _drawn(rasterizer, device.type, size, count)[2]
    report.note("the same twice", **{key: off(b, a) for key, a, b in zip(NAMES, gradients_2, again, strict=True)})


def step(report: Report, options: Options) -> None:
    """A step of two recipes from the same parameters on the same frames: losses and gradients of every parameter."""
    device = place(options)
    for name in ("default", "talking-gaussian"):
        sizes = () if options.small else ("image_size=256", "model.face.count=8000", "model.mouth.count=1000")
        if device.type == "cpu":
            sizes = ("image_size=64", "model.face.count=400", "model.mouth.count=100")
        config = recipe(name, options, *sizes)
        with frame_parallel():
            run = made_up(config, options.work / f"parity-{name}", 60, torch.device("cpu"))
        spoil(run.model)
        run = replace(run, clip=_turned(run.clip))
        stage = fullest_stage(config)
        losses, gradients = _stepped(run, stage)
        losses_2, gradients_2 = _stepped(moved(run, device, _other(device)[1]), stage)
        apart = {key: abs(losses_2[key] - value) / max(abs(value), 1e-6) for key, value in losses.items()}
        report.note(f"{name}: losses", **apart)
        distances = {key: off(gradients_2[key], value) for key, value in gradients.items()}
        report.note(f"{name}: gradients", **distances)
        for key, distance in apart.items():
            report.expect(distance < LOSS, f"{name}: the loss {key} is off by {distance:.2g}")
        for key, distance in distances.items():
            report.expect(distance < GRADIENT, f"{name}: the gradient of {key} is off by {distance:.2g}")


def _turned(clip: Clip) -> Clip:
    """The clip with a head that turns a little, so that what depends on the turn is compared too."""
    angle = 0.1 * np.sin(np.arange(len(clip)))
    R = np.tile(np.eye(3, dtype=np.float32), (len(clip), 1, 1))
    R[:, 0, 0] = R[:, 2, 2] = np.cos(angle)
    R[:, 0, 2], R[:, 2, 0] = np.sin(angle), -np.sin(angle)
    return with_poses(clip, R, clip.tracking.t_camera_head)


def _other(device: torch.device) -> tuple[str, Rasterizer]:
    """What the native rasterizer is compared with."""
    found = dict(rasterizers(device))
    found.pop("native", None)
    return next(iter(found.items()))


def _drawn(rasterizer: Rasterizer, device: str, size: int, count: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Image, alpha and the gradients of a weighted sum of both, on the CPU."""
    gaussians, cameras = head_scene(size, count, 2, device=device)
    pose = cameras.T_camera_world.clone().requires_grad_()
    rendered = rasterizer(gaussians, Cameras(pose, cameras.K, size, size))
    weights = torch.rand(rendered.rgb.shape, generator=torch.Generator().manual_seed(3)).to(device)
    total = (rendered.rgb * weights).sum() + rendered.alpha.sum()
    leaves = [getattr(gaussians, name) for name in NAMES[:-1]]
    gradients = torch.autograd.grad(total, [*leaves, pose])
    return rendered.rgb.detach().cpu(), rendered.alpha.detach().cpu(), [gradient.cpu() for gradient in gradients]


def _stepped(run: Run, stage: StageConfig) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses by name, and gradients by part, of one step; the audio network without its random dropout."""
    run.encoder.eval()
    indices = draw_frames(run.clip, stage, np.random.default_rng(0))
    batch = BatchReader(run.clip, stage.losses, run.device).read(indices)
    parts = step_loss(run, stage, batch, indices, 0).parts
    torch.stack(list(parts.values())).sum().backward()
    gradients = {}
    for name, parameters in parameter_groups(run).items():
        found = [parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]
        if found:
            gradients[name] = torch.cat(found)
    return {name: float(value.detach()) for name, value in parts.items()}, gradients
