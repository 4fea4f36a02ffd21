"""Finds, builds on first use, and loads the native CPU library (sources: cuda_ext)."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from gaussavatar.errors import UserError

ISA_VARIABLE = "GAUSSAVATAR_ISA"
"""Environment variable that forces an instruction set: generic, avx2 or avx512."""
THREADS_VARIABLE = "GAUSSAVATAR_THREADS"
"""Environment variable with the number of threads; torch's number when it is not set."""
ISA_NAMES = ("generic", "avx2", "avx512")

_lock = threading.Lock()
_loaded: tuple[ctypes.CDLL, Path] | None = None
_threads: int | None = None


def sources() -> Path:
    """The folder with the C++ sources: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_cuda_ext", package.parent / "cuda_ext"):
        if (folder / "build.py").is_file():
            return folder
    raise UserError(
        "the folder with the native library's sources", f"none beside {package}", "install gaussavatar again"
    )


def cache_folder() -> Path:
    """Where built libraries are kept: ``$XDG_CACHE_HOME/gaussavatar/native``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gaussavatar" / "native"


def load_library() -> ctypes.CDLL:
    """The native library; built by the first call that needs it.

    Raises:
        UserError: it cannot be built or loaded here, or ``GAUSSAVATAR_ISA`` names an
            instruction set that this machine lacks.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            path = _find_or_build()
            try:
                library = ctypes.CDLL(str(path))
            except OSError as error:
                raise UserError(
                    "a loadable native library", f"{path} ({error})", "delete the file and run again"
                ) from error
            _declare(library)
            forced = os.environ.get(ISA_VARIABLE)
            if forced:
                _force_isa(library, forced, ISA_VARIABLE)
            _loaded = library, path
        library = _loaded[0]
    library.ga_set_threads(_threads or _threads_from_environment() or torch.get_num_threads())
    return library


def set_threads(threads: int | None) -> None:
    """Use this many threads in the native library; ``None`` follows torch's number again."""
    global _threads
    if threads is not None and threads < 1:
        raise UserError("a number of threads of at least 1", str(threads), "give 1 or more")
    _threads = threads


def force_isa(name: str) -> None:
    """Use the kernels of one instruction set from now on.

    Raises:
        UserError: this machine or this build lacks it.
    """
    _force_isa(load_library(), name, "the instruction set")


def available_isas() -> list[str]:
    """The instruction sets that this machine can run, slowest first."""
    library = load_library()
    return [name for name in ISA_NAMES if library.ga_isa_available(name.encode())]


def native_info() -> dict[str, Any]:
    """What the native library is and runs with: path, instruction set, alternatives, threads."""
    library = load_library()
    assert _loaded is not None
    return {
        "library": str(_loaded[1]),
        "isa": library.ga_isa().decode(),
        "isas": available_isas(),
        "threads": library.ga_get_threads(),
    }


def check_status(status: int, what: str) -> None:
    """Raise for a non-zero status of a native function."""
    if status == -1:
        raise MemoryError(f"out of memory in {what}")
    if status != 0:
        raise RuntimeError(f"native {what} failed with status {status}")


def _threads_from_environment() -> int | None:
    text = os.environ.get(THREADS_VARIABLE)
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"a number of threads in {THREADS_VARIABLE}", repr(text), "set it to 1 or more, or unset it")
    return int(text)


def _force_isa(library: ctypes.CDLL, name: str, where: str) -> None:
    if library.ga_force_isa(name.encode()) != 0:
        here = [isa for isa in ISA_NAMES if library.ga_isa_available(isa.encode())]
        raise UserError(f"{where} among {', '.join(here)}", repr(name), "choose one of these")


def _find_or_build() -> Path:
    folder = sources()
    builder = _load_builder(folder / "build.py")
    prebuilt = folder / "prebuilt" / builder.library_name()
    if prebuilt.is_file():
        return prebuilt
    cache = cache_folder()
    try:
        try:
            return builder.build(cache / builder.compiler_key(builder.find_compiler()))
        except builder.BuildError:
            # A library that another compiler built from the same sources is as good.
            built = sorted(cache.glob(f"*/{builder.library_name()}"))
            if built:
                return built[0]
            raise
    except builder.BuildError as error:
        raise UserError(error.expected, error.came, error.do) from error
    except OSError as error:
        raise UserError(
            f"a writable cache folder for the native library at {cache}",
            os.strerror(error.errno or 0),
            "set XDG_CACHE_HOME to a folder that you can write",
        ) from error


def _load_builder(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gaussavatar_native_build", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _declare(library: ctypes.CDLL) -> None:
    library.ga_isa.restype = ctypes.c_char_p
    for function in (library.ga_force_isa, library.ga_isa_available):
        function.argtypes, function.restype = [ctypes.c_char_p], ctypes.c_int
    library.ga_set_threads.argtypes, library.ga_set_threads.restype = [ctypes.c_int], None
