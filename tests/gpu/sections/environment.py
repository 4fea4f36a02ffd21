"""What machine this is, and whether the kernels are there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import time

import torch
from runner import Options, Report
from sections.common import place

from gaussavatar.media.process import find_ffmpeg
from gaussavatar.native.library import cuda_failure, cuda_library, native_info

QUERY = "--query-gpu=name,driver_version,memory.total,memory.used,compute_cap"
PACKAGES = ("torch", "gsplat", "numpy", "scipy", "mediapipe", "safetensors", "jaxtyping")


def check(report: Report, options: Options) -> None:
    """GPU, driver, compilers, packages; fails where the device that was asked for is not there."""
    report.note(
        "machine", python=platform.python_version(), cores=len(os.sched_getaffinity(0)), system=platform.system()
    )
    report.note("machine", memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30))
    report.note("machine", work_free_gib=round(shutil.disk_usage(options.work).free / 2**30))
    report.note("programs", **{name: _version(name) for name in ("nvcc", "g++")}, ffmpeg=_ffmpeg())
    report.note("nvidia-smi", gpu=_told(["nvidia-smi", QUERY, "--format=csv,noheader"]))
    report.note("packages", **{name: _package(name) for name in PACKAGES})
    started = time.monotonic()
    facts = native_info()
    report.note("native", seconds=time.monotonic() - started, isa=facts["isa"])
    report.note("torch", cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version() if torch.version.cuda else None)
    if options.device != "cuda":
        return
    if not torch.cuda.is_available():
        raise RuntimeError(
            "expected a CUDA device, came none that torch sees; --device cpu --small rehearses the check"
        )
    started = time.monotonic()
    torch.zeros(1, device="cuda").add_(1)
    torch.cuda.synchronize()
    report.note("cuda", context_seconds=time.monotonic() - started, name=torch.cuda.get_device_name())
    report.note("cuda", capability=torch.cuda.get_device_capability(), free_gib=torch.cuda.mem_get_info()[0] / 2**30)


def kernels(report: Report, options: Options) -> None:
    """Load gsplat's kernels and our own; what is not prebuilt is compiled here, gsplat's in minutes, and then kept."""
    if place(options).type == "cpu":
        started = time.monotonic()
        report.note("native", library=native_info()["library"], seconds=time.monotonic() - started)
        return
    started = time.monotonic()
    there = cuda_library() is not None
    report.note("own", there=there, reason=None if there else str(cuda_failure()), seconds=time.monotonic() - started)
    if importlib.util.find_spec("gsplat") is None:
        raise UserError("gsplat for rendering on the GPU", "no such package", "pip install 'gaussavatar[gpu]'")
    built = importlib.util.find_spec("gsplat.csrc") is not None
    started = time.monotonic()
    from gsplat.cuda._backend import _C

    report.note("gsplat", prebuilt=built, seconds=time.monotonic() - started, kernels=getattr(_C, "__file__", str(_C)))
    report.expect(_C is not None, "gsplat has no kernels: neither a prebuilt library nor nvcc to compile them")


def _told(command: list[str]) -> str | None:
    """What a program prints; None where it is not there."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return (done.stdout or done.stderr).strip()


def _version(program: str) -> str | None:
    lines = (_told([program, "--version"]) or "").splitlines()
    return next((line for line in lines if any(c.isdigit() for c in line) and "(c)" not in line.lower()), None)


def _package(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ffmpeg() -> str | None:
    try:
        return find_ffmpeg()
    except Exception as error:
        return f"none ({error})"
