"""Speed of the rasterizer and the image losses on a scene like a head."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from gaussavatar.bench.machine import load_average
from gaussavatar.image.losses import photometric_loss
from gaussavatar.native.library import force_isa, native_info
from gaussavatar.native.threads import set_threads
from gaussavatar.render.api import Rasterizer, get_rasterizer
from gaussavatar.types import Activated, Cameras

HEAD_SIZE = (0.16, 0.25, 0.19)
"""Width, height and depth in metres of the ellipsoid that the Gaussians lie on."""
HEAD_FRACTION = 0.72
"""The head's height over the image's."""
CAMERA_DISTANCE = 0.8
"""Metres from the camera to the head's centre."""
CASES = ((256, 10_000), (512, 30_000))
"""Image side in pixels and number of Gaussians."""


def head_scene(size: int, count: int, batch: int = 1, seed: int = 0, device: str = "cpu") -> tuple[Activated, Cameras]:
    """A shell of ``count`` Gaussians of the size of a head, filling 72 % of the image's height.

    Positions lie on an ellipsoid with 3 % jitter, standard deviations are uniform in
    0.5..1.5 % of the head's height, orientations random, opacities sigmoid of N(0, 1.5).
    Leaves are shared by all frames; the cameras differ by small turns.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, 3, generator=generator)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    jitter = 1 + 0.03 * torch.randn(count, 1, generator=generator)
    means = directions * jitter * torch.tensor(HEAD_SIZE) / 2
    quats = torch.randn(count, 4, generator=generator)
    quats = quats / quats.norm(dim=-1, keepdim=True)
    scales = (0.005 + 0.01 * torch.rand(count, 3, generator=generator)) * HEAD_SIZE[1]
    opacities = torch.sigmoid(1.5 * torch.randn(count, generator=generator))
    colors = torch.rand(count, 3, generator=generator)
    leaves = [tensor.to(device).requires_grad_() for tensor in (means, quats, scales, opacities, colors)]
    T_camera_world = torch.eye(4).repeat(batch, 1, 1)
    for i in range(batch):
        angle = 0.02 * i
        T_camera_world[i, 0, 0] = T_camera_world[i, 2, 2] = math.cos(angle)
        T_camera_world[i, 0, 2], T_camera_world[i, 2, 0] = math.sin(angle), -math.sin(angle)
        T_camera_world[i, 2, 3] = CAMERA_DISTANCE
    focal = HEAD_FRACTION * size * CAMERA_DISTANCE / HEAD_SIZE[1]
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]).repeat(batch, 1, 1)
    gaussians = Activated(*(leaf.expand(batch, *leaf.shape) for leaf in leaves))
    return gaussians, Cameras(T_camera_world.to(device), K.to(device), size, size)


def bench_raster(
    *,
    cases: Sequence[tuple[int, int]] = CASES,
    threads: Sequence[int] = (1, 2),
    isas: Sequence[str] | None = None,
    batch: int = 1,
    repetitions: int = 30,
    backend: str = "auto",
    device: str = "cpu",
    losses: bool = True,
) -> dict[str, Any]:
    """Time the rasterizer, forward and forward + backward, and the photometric loss.

    The repetitions of all cases are interleaved, so that a slow moment of the machine falls
    on all of them. Read ``min`` and ``p25``; the median only means something on a quiet machine.

    Returns:
        ``{"machine": {...}, "rows": [{"what", "size", "count", "batch", "threads", "isa",
        "min", "p25", "median", "cpu"}]}`` with times in milliseconds per frame; ``cpu`` is the
        least processor time, which a busy machine disturbs least.
    """
    rasterizer = get_rasterizer(device, backend)  # type: ignore[arg-type]
    native = rasterizer.name == "native"
    machine: dict[str, Any] = {"backend": rasterizer.name, "load_before": load_average()}
    before = native_info() if native else {}
    machine.update(before)
    jobs: list[tuple[dict[str, Any], Callable[[], None]]] = []
    for isa in (isas or [before["isa"]]) if native else ["-"]:
        for count_threads in threads if native else [1]:
            for size, count in cases:
                case = {"size": size, "count": count, "batch": batch, "threads": count_threads, "isa": isa}
                jobs += _jobs(rasterizer, case, device, losses)
    try:
        timed = _interleave(jobs, repetitions, native, device)
    finally:
        if native:
            force_isa(before["isa"])
            set_threads(None)
    machine["load_after"] = load_average()
    rows = [
        {
            **case,
            "min": float(np.min(wall)),
            "p25": float(np.percentile(wall, 25)),
            "median": float(np.median(wall)),
            "cpu": float(np.min(cpu)),
        }
        for case, wall, cpu in timed
    ]
    return {"machine": machine, "rows": rows}


def format_rows(result: dict[str, Any]) -> str:
    """The result of :func:`bench_raster` as a table."""
    facts = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    lines = [
        facts,
        f"{'what':8} {'isa':8} {'px':>4} {'N':>6} {'B':>2} {'thr':>3}"
        f" {'min':>8} {'p25':>8} {'median':>8} {'cpu':>8} ms",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['what']:8} {row['isa']:8} {row['size']:4} {row['count']:6} {row['batch']:2} {row['threads']:3}"
            f" {row['min']:8.2f} {row['p25']:8.2f} {row['median']:8.2f} {row['cpu']:8.2f}"
        )
    return "\n".join(lines)


def _jobs(
    rasterizer: Rasterizer, case: dict[str, Any], device: str, losses: bool
) -> list[tuple[dict[str, Any], Callable[[], None]]]:
    size, batch = case["size"], case["batch"]
    gaussians, cameras = head_scene(size, case["count"], batch, device=device)
    generator = torch.Generator().manual_seed(1)
    v_rgb = torch.rand(batch, size, size, 3, generator=generator).to(device)
    v_alpha = torch.rand(batch, size, size, generator=generator).to(device)
    target = torch.rand(batch, size, size, 3, generator=generator).to(device)
    pred = torch.rand(batch, size, size, 3, generator=generator).to(device).requires_grad_()
    leaves = [gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors]

    def forward() -> None:
        with torch.no_grad():
            rasterizer(gaussians, cameras)

    def both() -> None:
        rendered = rasterizer(gaussians, cameras)
        torch.autograd.grad([rendered.rgb, rendered.alpha], leaves, [v_rgb, v_alpha])

    def loss() -> None:
        torch.autograd.grad(photometric_loss(pred, target, v_alpha, 0.2), pred)

    jobs = [({"what": "fwd", **case}, forward), ({"what": "fwd+bwd", **case}, both)]
    if losses:
        jobs.append(({"what": "loss f+b", **case}, loss))
    return jobs


def _interleave(
    jobs: list[tuple[dict[str, Any], Callable[[], None]]], repetitions: int, native: bool, device: str
) -> list[tuple[dict[str, Any], list[float], list[float]]]:
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in jobs]
    for repetition in range(repetitions + 1):
        for (case, job), (wall, cpu) in zip(jobs, times, strict=True):
            if native:
                force_isa(case["isa"])
                set_threads(case["threads"])
            if device != "cpu":
                torch.cuda.synchronize()
            start, cpu_start = time.perf_counter(), time.process_time()
            job()
            if device != "cpu":
                torch.cuda.synchronize()
            # The first round builds, allocates and warms up.
            if repetition > 0:
                wall.append((time.perf_counter() - start) * 1e3 / case["batch"])
                cpu.append((time.process_time() - cpu_start) * 1e3 / case["batch"])
    return [(case, wall, cpu) for (case, _), (wall, cpu) in zip(jobs, times, strict=True)]
