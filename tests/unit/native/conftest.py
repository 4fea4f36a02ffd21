"""The CUDA kernels' own source without a GPU: built by the C++ compiler as loops over the host's memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaussavatar.native import abi, library
from gaussavatar.native.library import sources


@pytest.fixture(scope="session")
def host_built(tmp_path_factory: pytest.TempPathFactory) -> abi.Library:
    """The kernels' functors behind the interface of the CUDA library, for tensors of the host."""
    path = tmp_path_factory.mktemp("kernels") / "kernels.so"
    flags = ["-x", "c++", "-std=c++17", "-O2", "-Wall", "-Werror", "-fPIC", "-shared", f"-I{sources() / 'include'}"]
    kernels = map(str, sorted(sources().glob("cuda/*.cu")))
    subprocess.run(["c++", *flags, *kernels, "-o", str(path)], check=True)
    return abi.open_library(path, "cuda")


@pytest.fixture(scope="module")
def host_kernels(host_built: abi.Library) -> Iterator[None]:
    """The CUDA forms run on the host while the tests of a module do."""
    before = library._loaded.get("cuda")
    library._loaded["cuda"] = host_built, Path("host")
    yield
    library._loaded.pop("cuda")
    if before is not None:
        library._loaded["cuda"] = before
