"""Builds the native CPU library from the sources beside this file, with the system's C++ compiler.

Standard library only and independent of the package, so that a packaging hook can call
:func:`build` too. Files named ``*.isa.cpp`` are compiled once per instruction set.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
LIBRARY_STEM = {"cpu": "gaussavatar_native"}
FLAGS = [
    *("-std=c++17", "-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"),
    *("-Wall", "-Wno-uninitialized", "-Wno-maybe-uninitialized"),
]
ISA_FLAGS = {
    "generic": [],
    "avx2": ["-DGA_AVX2", "-mavx2", "-mfma", "-mbmi2"],
    "avx512": ["-DGA_AVX512", *(f"-mavx512{part}" for part in ("f", "dq", "bw", "vl")), "-mavx2", "-mfma", "-mbmi2"],
}


class BuildError(Exception):
    """The library cannot be built here: what was expected, what came, what to do."""

    def __init__(self, expected: str, came: str, do: str) -> None:
        self.expected, self.came, self.do = expected, came, do
        super().__init__(f"expected {expected}, got {came}; {do}")


def instruction_sets() -> list[str]:
    """The instruction sets that this machine's library holds kernels for."""
    return list(ISA_FLAGS) if platform.machine().lower() in ("x86_64", "amd64") else ["generic"]


def source_key(backend: str = "cpu") -> str:
    """A hash of everything that decides what a backend's library does, apart from the compiler."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob(f"{backend}/*"), *SOURCES.glob("include/*"), SOURCES / "build.py"]):
        if path.is_file():
            digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    digest.update(f"{sys.platform} {platform.machine()}".encode())
    return digest.hexdigest()[:16]


def find_compiler(backend: str = "cpu") -> list[str]:
    """The C++ compiler's command: ``$CXX``, else g++, c++ or clang++ from the PATH.

    Raises:
        BuildError: there is none.
    """
    command = shlex.split(os.environ.get("CXX", ""))
    if command:
        if shutil.which(command[0]) is None:
            raise BuildError("a C++ compiler in CXX", f"no program {command[0]!r}", "set CXX to g++ or clang++")
        return command
    for name in ("g++", "c++", "clang++"):
        if shutil.which(name):
            return [name]
    raise BuildError(
        "a C++17 compiler (g++ or clang++) to build the CPU rasterizer",
        "none on the PATH",
        "install one (Debian/Ubuntu: apt install g++; macOS: xcode-select --install) or set CXX",
    )


def compiler_key(command: list[str]) -> str:
    """A hash that names a compiler without running it."""
    path = Path(shutil.which(command[0]) or command[0]).resolve()
    status = path.stat()
    text = f"{shlex.join(command[1:])} {path} {status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def library_name(backend: str = "cpu") -> str:
    """The file name of a backend's library that was built from these sources."""
    return f"{LIBRARY_STEM[backend]}-{source_key(backend)}.so"


def build(out_dir: Path, backend: str = "cpu") -> Path:
    """Build a backend's library into ``out_dir`` and return its path; an existing one is kept.

    Atomic: processes that build at the same time each put a whole file in place.

    Raises:
        BuildError: no compiler, or it fails on these sources.
        OSError: ``out_dir`` cannot be written.
    """
    target = out_dir / library_name(backend)
    if target.exists():
        return target
    compiler = find_compiler(backend)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".building-") as folder:
        jobs = _compile_jobs(compiler, Path(folder))
        with ThreadPoolExecutor(os.cpu_count() or 1) as executor:
            list(executor.map(_run, [command for command, _ in jobs]))
        library = Path(folder) / target.name
        _run([*compiler, "-shared", "-o", str(library), *(str(output) for _, output in jobs), "-pthread"])
        os.replace(library, target)
    return target


def _compile_jobs(compiler: list[str], folder: Path) -> list[tuple[list[str], Path]]:
    jobs = []
    for source in sorted(SOURCES.glob("cpu/*.cpp")):
        variants = instruction_sets() if source.name.endswith(".isa.cpp") else ["generic"]
        for isa in variants:
            output = folder / f"{source.name}.{isa}.o"
            include = f"-I{SOURCES / 'include'}"
            command = [*compiler, *FLAGS, *ISA_FLAGS[isa], include, "-c", str(source), "-o", str(output)]
            jobs.append((command, output))
    return jobs


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines()[-1:]
        raise BuildError(
            f"{command[0]} to compile the CPU rasterizer",
            f"exit {result.returncode}: {lines[0] if lines else 'no message'}",
            "use g++ 9 or newer, or clang++ 12 or newer (set CXX)",
        )


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "build")))
