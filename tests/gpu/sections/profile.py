"""A training step under the profiler: what takes the time, how often the CPU waits, how many kernels are started."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from runner import Options, Report
from sections.common import made_up, place, recipe, stepper, synchronize
from torch.profiler import ProfilerActivity, profile

from gaussavatar.bench.step import fullest_stage
from gaussavatar.native.threads import frame_parallel

LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")
SYNCS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
PROFILED = 10
"""Steps under the profiler."""


def check(report: Report, options: Options) -> None:
    """The fullest stage of two recipes; tables go to ``profile.txt``, places that wait to the figures."""
    device, tables = place(options), []
    for name in ("default",) if options.small else ("default", "talking-gaussian"):
        config = recipe(name, options)
        with frame_parallel():
            run = made_up(config, options.work / f"profile-{name}", 60 if options.small else 200, device)
            step = stepper(run, fullest_stage(config), config)
            warm, timed = (1, 2) if options.small else (25, 40)
            for number in range(warm):
                step(number)
            synchronize(device)
            started = time.perf_counter()
            for number in range(timed):
                step(number)
            synchronize(device)
            report.note(name, step_ms=(time.perf_counter() - started) * 1e3 / timed)
            steps = 2 if options.small else PROFILED
            figures, table = _profiled(step, steps, device)
            report.note(name, **figures)
            tables.append(f"{name}\n{table}")
            (options.out / "profile.txt").write_text("\n".join(tables))
            if device.type == "cuda":
                report.note(f"{name}: waits", **_waits(step))
                torch.cuda.reset_peak_memory_stats()
                step(0)
                report.note(name, peak_gpu_mib=torch.cuda.max_memory_allocated() >> 20)


def _profiled(step: Callable[[int], Any], steps: int, device: torch.device) -> tuple[dict[str, float], str]:
    """Per step: operators, launches, syncs, and milliseconds that the device was busy; and the profiler's table."""
    cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as seen:
        for number in range(steps):
            step(number)
    rows = seen.key_averages()
    counts = Counter({row.key: row.count for row in rows})
    figures = {"operators": sum(n for key, n in counts.items() if key.startswith("aten::")) / steps}
    if cuda:
        kernels = [event for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        figures |= {
            "launches": sum(counts[key] for key in LAUNCHES) / steps,
            "syncs": sum(counts[key] for key in SYNCS) / steps,
            "copies": counts["cudaMemcpyAsync"] / steps,
            "device_events": len(kernels) / steps,
            "gpu_busy_ms": sum(event.time_range.elapsed_us() for event in kernels) / steps / 1e3,
        }
    order = "self_device_time_total" if cuda else "self_cpu_time_total"
    return figures, rows.table(sort_by=order, row_limit=60, max_name_column_width=80)


def _waits(step: Callable[[int], Any]) -> dict[str, int]:
    """How often one step makes the CPU wait for the GPU, by the line that does; torch itself tells."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step(0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    said = [warning for warning in caught if "synchroniz" in str(warning.message)]
    return dict(Counter(f"{'/'.join(warning.filename.split('/')[-2:])}:{warning.lineno}" for warning in said))
