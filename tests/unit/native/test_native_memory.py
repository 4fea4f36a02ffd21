"""Memory that runs out in native code is an error of Python; and the native functions run clean under sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaussavatar.native import library
from gaussavatar.native.library import sources

SHORT_OF_MEMORY = """
import resource
import numpy as np
import torch
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.native.threads import set_threads
from gaussavatar.render.api import get_rasterizer
from gaussavatar.types import Activated, Cameras

set_threads(2)
# Nothing is freed before the limit is set, so that the heap holds no large piece to take from.
vertices, triangles = np.full((3_000_000, 3), 1, np.float32), np.zeros((1, 3), np.int32)
sizes = {"means": (3, 0.5), "quats": (4, 1.0), "scales": (3, 1e-4), "colors": (3, 1.0)}
fields = {name: torch.full((1, 1_000_000, width), value) for name, (width, value) in sizes.items()}
gaussians = Activated(**fields, opacities=torch.ones(1, 1_000_000))
K = torch.tensor([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]])
cameras = Cameras(T_camera_world=torch.eye(4)[None], K=K[None], width=8, height=8)
rasterizer = get_rasterizer("cpu", "native")

calls = {
    "ga_rasterize_mesh": lambda: rasterize_mesh(vertices, triangles, K.numpy(), 8, 8),
    "ga_raster_forward": lambda: rasterizer(gaussians, cameras),
}
used = 4096 * int(open("/proc/self/statm").read().split()[0])
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
for name, call in calls.items():
    resource.setrlimit(resource.RLIMIT_AS, (used + 12_000_000, hard))
    try:
        call()
        print("no error", name)
    except MemoryError as error:
        print(error)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
for call in calls.values():
    call()
print("alive")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to know how much memory is used")
def test_no_memory_is_an_error_and_the_process_lives_on() -> None:
    done = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "out of memory in ga_rasterize_mesh", "out of memory in ga_raster_forward", "alive",
    ]  # fmt: skip


@pytest.mark.long
def test_every_native_function_runs_clean_under_sanitizers(tmp_path: Path) -> None:
    """Long: compiles all of the CPU's code and cuda_ext/tests with sanitizers. To be run after a change of either."""
    builder = library._load_builder(sources() / "build.py")
    try:
        program = builder.build_tests(tmp_path)
    except builder.BuildError as error:
        if "sanitizers" not in error.expected:
            raise
        pytest.skip(str(error))
    environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run([str(program)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "generic: done" in done.stdout and "0 failures" in done.stdout


def test_the_test_program_knows_every_function() -> None:
    from gaussavatar.native import abi

    text = "".join(path.read_text() for path in (sources() / "tests").glob("*.cpp"))
    assert not [name for name in abi.FUNCTIONS["cpu"] if f"{name}(" not in text]
    headers = "".join(path.read_text() for path in (sources() / "include").glob("*.h"))
    exported = {part.split("(")[0].split()[-1] for part in headers.split("GA_EXPORT ")[1:] if part[:3] == "int"}
    assert exported == {name for functions in abi.FUNCTIONS.values() for name in functions}
