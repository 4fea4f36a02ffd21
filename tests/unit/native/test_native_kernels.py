"""nvcc builds the kernels for every target, and none of them keeps arrays in slow memory."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch

from gaussavatar.native import abi, library
from gaussavatar.native.library import sources

KERNELS = {"blendshapes": 5, "image_loss": 6, "composite": 2}
MOST_REGISTERS = {"blendshapes": 255, "image_loss": 64, "composite": 40}
"""More would leave too few threads on a processor to hide the memory's latency; 255 is the hardware's own bound."""


@pytest.mark.slow
def test_nvcc_builds_the_library(tmp_path: Path) -> None:
    """Runs nvcc for all targets, which takes seconds."""
    builder = library._load_builder(sources() / "build.py")
    try:
        path = builder.build(tmp_path, "cuda")
    except builder.BuildError as error:
        if "none on the PATH" not in error.came:
            raise
        pytest.skip(str(error))
    built = abi.open_library(path, "cuda")
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="ga_cuda_usable failed: not available"):
            built.ga_cuda_usable(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_the_kernels_stay_in_registers(name: str, tmp_path: Path) -> None:
    """Runs nvcc, which takes seconds."""
    builder = library._load_builder(sources() / "build.py")
    try:
        nvcc = builder.find_compiler("cuda")
    except builder.BuildError as error:
        pytest.skip(str(error))
    flags = [*builder.CUDA_FLAGS, "-Xptxas", "-v", f"-I{sources() / 'include'}"]
    kernel = str(sources() / "cuda" / f"{name}.cu")
    command = [*nvcc, *flags, "-c", kernel, "-o", str(tmp_path / "kernel.o")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    frames = [line.split(",") for line in told.splitlines() if "stack frame" in line]
    assert len(frames) == 2 * KERNELS[name]  # for sm_80 and sm_90
    assert all(part.strip().startswith("0 bytes") for parts in frames for part in parts)
    assert max(map(int, re.findall(r"Used (\d+) registers", told))) <= MOST_REGISTERS[name]
