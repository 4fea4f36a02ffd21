"""Builds the native libraries from the sources beside this file: "cpu" with a C++ compiler, "cuda" with nvcc.

Standard library only and independent of the package, so that a packaging hook can call
:func:`build` too. Of the CPU's sources, files named ``*.isa.cpp`` are compiled once per instruction set.
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
from typing import NamedTuple

SOURCES = Path(__file__).resolve().parent
LIBRARY_STEM = {"cpu": "gaussavatar_native", "cuda": "gaussavatar_cuda"}
FLAGS = [
    *("-std=c++17", "-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"),
    *("-Wall", "-Wno-uninitialized", "-Wno-maybe-uninitialized"),
]
ISA_FLAGS = {
    "generic": [],
    "avx2": ["-DGA_AVX2", "-mavx2", "-mfma", "-mbmi2"],
    "avx512": ["-DGA_AVX512", *(f"-mavx512{part}" for part in ("f", "dq", "bw", "vl")), "-mavx2", "-mfma", "-mbmi2"],
}

# Conversions of what is no number, or too large, to an integer are not in "undefined" but are undefined.
SANITIZERS = [
    *("-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"),
    *("-fno-omit-frame-pointer", "-g1", "-O0"),  # compiled for one run of seconds
]
# Machine code for Ampere and Hopper, and PTX that the driver compiles for what comes after.
CUDA_TARGETS = ("arch=compute_80,code=sm_80", "arch=compute_90,code=sm_90", "arch=compute_90,code=compute_90")
CUDA_FLAGS = [
    *("-std=c++17", "-O3", "-cudart", "static", "-Xcompiler", "-fPIC,-fvisibility=hidden"),
    *(part for target in CUDA_TARGETS for part in ("-gencode", target)),
]


class BuildError(Exception):
    """The library cannot be built here: what was expected, what came, what to do."""

    def __init__(self, expected: str, came: str, do: str) -> None:
        self.expected, self.came, self.do = expected, came, do
        super().__init__(f"expected {expected}, got {came}; {do}")


class Target(NamedTuple):
    """What a library is built for, as Python there calls it: ``sys.platform`` and ``platform.machine()``."""

    system: str
    machine: str
    compiler: tuple[str, ...] = ()
    """The command that compiles for it; that of :func:`find_compiler` when empty."""
    link_flags: tuple[str, ...] = ()

    @property
    def instruction_sets(self) -> list[str]:
        """The instruction sets that its library holds kernels for."""
        return list(ISA_FLAGS) if self.machine.lower() in ("x86_64", "amd64") else ["generic"]


HERE = Target(sys.platform, platform.machine())


def source_key(backend: str = "cpu", target: Target = HERE) -> str:
    """A hash of everything that decides what a backend's library does, apart from the compiler."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob(f"{backend}/*"), *SOURCES.glob("include/*"), SOURCES / "build.py"]):
        if path.is_file():
            digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    digest.update(f"{target.system} {target.machine}".encode())
    return digest.hexdigest()[:16]


def find_compiler(backend: str = "cpu") -> list[str]:
    """The compiler's command.

    For the CPU ``$CXX``, else g++, c++ or clang++ from the PATH; for CUDA ``$CUDACXX``, else nvcc from the PATH or
    from ``/usr/local/cuda``.

    Raises:
        BuildError: there is none.
    """
    variable, kind = ("CUDACXX", "a CUDA") if backend == "cuda" else ("CXX", "a C++")
    command = shlex.split(os.environ.get(variable, ""))
    if command:
        if shutil.which(command[0]) is None:
            do = f"set {variable} to " + ("nvcc" if backend == "cuda" else "g++ or clang++")
            raise BuildError(f"{kind} compiler in {variable}", f"no program {command[0]!r}", do)
        return command
    names = ("nvcc", "/usr/local/cuda/bin/nvcc") if backend == "cuda" else ("g++", "c++", "clang++")
    for name in names:
        if shutil.which(name):
            return [name]
    if backend == "cuda":
        do = "install the CUDA toolkit, or set CUDACXX to its nvcc"
        raise BuildError("nvcc to build the CUDA kernels", "none on the PATH", do)
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


def library_name(backend: str = "cpu", target: Target = HERE) -> str:
    """The file name of a backend's library that was built from these sources."""
    return f"{LIBRARY_STEM[backend]}-{source_key(backend, target)}.so"


def cache_folder() -> Path:
    """Where built libraries are kept: ``$XDG_CACHE_HOME/gaussavatar/native``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gaussavatar" / "native"


def build_cached(backend: str = "cpu") -> Path:
    """:func:`build` into the part of the cache that belongs to this compiler; raises what that raises."""
    return build(cache_folder() / compiler_key(find_compiler(backend)), backend)


def build(out_dir: Path, backend: str = "cpu", target: Target = HERE) -> Path:
    """Build a backend's library into ``out_dir`` and return its path; an existing one is kept.

    Atomic: processes that build at the same time each put a whole file in place.

    Args:
        out_dir: where it goes.
        backend: "cpu" or "cuda".
        target: what for.

    Raises:
        BuildError: no compiler, or it fails on these sources.
        OSError: ``out_dir`` cannot be written.
    """
    built = out_dir / library_name(backend, target)
    if built.exists():
        return built
    compiler = list(target.compiler) or find_compiler(backend)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".building-") as folder:
        library = Path(folder) / built.name
        if backend == "cuda":
            sources = map(str, sorted(SOURCES.glob("cuda/*.cu")))
            _run([*compiler, *CUDA_FLAGS, f"-I{SOURCES / 'include'}", "-shared", *sources, "-o", str(library)], backend)
        else:
            # The library says itself what it was built from: a name can be given to any file.
            flags = [*FLAGS, f'-DGA_SOURCES="{source_key(backend, target)}"']
            program = Program(library, list(SOURCES.glob("cpu/*.cpp")), flags, ["-shared", *target.link_flags])
            _compile_cpu(compiler, Path(folder), program, target)
        os.replace(library, built)
    return built


def build_golden(out_dir: Path, library: Path, target: Target = HERE) -> Path:
    """Build the program of ``golden/``, which calls a CPU library that was built for ``target``; return its path.

    Raises:
        BuildError: no compiler, or it fails on these sources.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    link_flags = [str(library), f"-Wl,-rpath,{library.parent}"]
    program = Program(out_dir / "golden", list(SOURCES.glob("golden/*.cpp")), FLAGS, link_flags)
    _compile_cpu(list(target.compiler) or find_compiler(), out_dir, program, target)
    return program.output


def build_tests(out_dir: Path) -> Path:
    """Build the test program of the CPU's functions under the sanitizers of :data:`SANITIZERS`; return its path.

    Raises:
        BuildError: no compiler, it has no sanitizers, or it fails on these sources.
    """
    compiler = find_compiler()
    out_dir.mkdir(parents=True, exist_ok=True)
    probe = out_dir / "probe.cpp"
    probe.write_text("int main() {}\n")
    if subprocess.run([*compiler, *SANITIZERS, str(probe), "-o", str(out_dir / "probe")], check=False).returncode != 0:
        raise BuildError("a compiler with address and undefined-behaviour sanitizers", shlex.join(compiler), "use g++")
    # Most of an unoptimised compilation is reading headers, so each of these groups is compiled as one file.
    plain = [path for path in SOURCES.glob("cpu/*.cpp") if not path.name.endswith(".isa.cpp")]
    sources = [
        *plain,
        _together(out_dir / "kernels.isa.cpp", "cpu/*.isa.cpp"),
        _together(out_dir / "tests.cpp", "tests/*.cpp"),
    ]
    program = Program(out_dir / "native_tests", sources, [*FLAGS, *SANITIZERS], SANITIZERS)
    _compile_cpu(compiler, out_dir, program, HERE)
    return program.output


def _together(path: Path, pattern: str) -> Path:
    """One source that holds all those of a pattern."""
    path.write_text("".join(f'#include "{source}"\n' for source in sorted(SOURCES.glob(pattern))))
    return path


class Program(NamedTuple):
    """What is compiled and linked: a library or a program, from which sources, with which flags."""

    output: Path
    sources: list[Path]
    flags: list[str]
    link_flags: list[str]


def _compile_cpu(compiler: list[str], folder: Path, program: Program, target: Target) -> None:
    jobs = []
    for source in sorted(program.sources):
        for isa in target.instruction_sets if source.name.endswith(".isa.cpp") else ["generic"]:
            compiled = folder / f"{source.parent.name}.{source.name}.{isa}.o"
            flags = [*program.flags, *ISA_FLAGS[isa], f"-I{SOURCES / 'include'}"]
            jobs.append(([*compiler, *flags, "-c", str(source), "-o", str(compiled)], compiled))
    with ThreadPoolExecutor(os.cpu_count() or 1) as executor:
        list(executor.map(_run, [command for command, _ in jobs]))
    objects = (str(compiled) for _, compiled in jobs)
    _run([*compiler, "-o", str(program.output), *objects, *program.link_flags, "-pthread"])


def _run(command: list[str], backend: str = "cpu") -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = (result.stderr + result.stdout).splitlines()
        lines = [line for line in said if "error" in line] or said[-1:]
        what, do = {
            "cpu": ("the CPU rasterizer", "use g++ 9 or newer, or clang++ 12 or newer (set CXX)"),
            "cuda": ("the CUDA kernels", "use CUDA 12 or newer with a C++ compiler that it knows (set CUDACXX)"),
        }[backend]
        raise BuildError(
            f"{command[0]} to compile {what}",
            f"exit {result.returncode}: {lines[0] if lines else 'no message'}",
            do,
        )


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments == ["--cached"]:
        print(build_cached())
    else:
        print(build(Path(arguments[0] if arguments else "build"), arguments[1] if len(arguments) > 1 else "cpu"))
