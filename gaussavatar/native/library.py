"""Finds, builds on first use, and loads the native libraries, one per backend (sources: cuda_ext)."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from gaussavatar.errors import UserError
from gaussavatar.native import abi
from gaussavatar.native.threads import thread_count

ISA_VARIABLE = "GAUSSAVATAR_ISA"
"""Environment variable that forces an instruction set: generic, avx2 or avx512."""
ISA_NAMES = ("generic", "avx2", "avx512")

_lock = threading.Lock()
_loaded: dict[str, tuple[abi.Library, Path]] = {}
_failed: dict[str, UserError] = {}
"""Why a backend cannot be had in this process: the compiler is not run a second time to hear the same."""


def sources() -> Path:
    """The folder with the C++ sources: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_cuda_ext", package.parent / "cuda_ext"):
        if (folder / "build.py").is_file():
            return folder
    raise UserError(
        "the folder with the native library's sources", f"none beside {package}", "install gaussavatar again"
    )


def load_library() -> abi.Library:
    """The CPU library, which is built by the first call that needs it; its threads are those of the moment.

    Raises:
        UserError: it cannot be built or loaded here, or ``GAUSSAVATAR_ISA`` names an
            instruction set that this machine lacks. A build that failed is not tried again.
    """
    with _lock:
        if "cpu" not in _loaded:
            library, path = _open("cpu")
            forced = os.environ.get(ISA_VARIABLE)
            if forced:
                _force_isa(library, forced, ISA_VARIABLE)
            _loaded["cpu"] = library, path
        library = _loaded["cpu"][0]
    library.ga_set_threads(thread_count())
    return library


def cuda_library() -> abi.Library | None:
    """The library of CUDA kernels, built by the first call; None where it cannot be built or does not run here.

    Nothing is lost without it but speed, so that this is no error: :func:`cuda_failure` tells why.
    """
    with _lock:
        if "cuda" not in _loaded and "cuda" not in _failed:
            try:
                library, path = _open("cuda")
                library.ga_cuda_usable(torch.cuda.current_device() if torch.cuda.is_available() else 0)
                _loaded["cuda"] = library, path
            except UserError:
                pass
            except RuntimeError:
                came = "a driver or device that the built kernels do not run on"
                _failed["cuda"] = UserError("CUDA kernels that run on this device", came, "update the driver")
        return _loaded["cuda"][0] if "cuda" in _loaded else None


def cuda_failure() -> UserError | None:
    """Why :func:`cuda_library` gave None, where it did."""
    return _failed.get("cuda")


def force_isa(name: str) -> None:
    """Use the kernels of one instruction set from now on.

    Raises:
        UserError: this machine or this build lacks it.
    """
    _force_isa(load_library(), name, "the instruction set")


def available_isas() -> list[str]:
    """The instruction sets that this machine can run, slowest first."""
    return _isas(load_library())


def native_info() -> dict[str, Any]:
    """What the native library is and runs with: path, instruction set, alternatives, threads."""
    library = load_library()
    return {
        "library": str(_loaded["cpu"][1]),
        "isa": abi.out_text(library.ga_isa),
        "isas": _isas(library),
        "threads": abi.out_integer(library.ga_get_threads),
    }


def _isas(library: abi.Library) -> list[str]:
    return [name for name in ISA_NAMES if abi.out_integer(library.ga_isa_available, name.encode())]


def _force_isa(library: abi.Library, name: str, where: str) -> None:
    here = _isas(library)
    if name not in here:
        raise UserError(f"{where} among {', '.join(here)}", repr(name), "choose one of these")
    library.ga_force_isa(name.encode())


def _open(backend: str) -> tuple[abi.Library, Path]:
    if backend in _failed:
        told = _failed[backend]
        raise UserError(told.expected, told.came, told.do)
    builder = _load_builder(sources() / "build.py")
    try:
        came_along, why_not = _open_prebuilt(builder, backend)
        if came_along is not None:
            return came_along
        path = _built(builder, backend, why_not)
        try:
            return _checked(path, builder, backend), path
        except OSError as error:
            raise UserError(
                "a loadable native library", f"{path} ({error})", "delete the file and run again"
            ) from error
    except UserError as error:
        _failed[backend] = error
        raise


def _open_prebuilt(builder: ModuleType, backend: str) -> tuple[tuple[abi.Library, Path] | None, str]:
    """The library that came with the package; else what is said of those that did, where none can be built."""
    folder = builder.SOURCES / "prebuilt"
    path = folder / builder.library_name(backend)
    if not path.is_file():
        others = sorted(folder.glob(f"{builder.LIBRARY_STEM[backend]}-*"))
        return None, f"{others[0].name} in the package is of other sources" if others else ""
    try:
        return (_checked(path, builder, backend), path), ""
    except OSError as error:
        return None, f"the package's own does not load ({error})"


def _checked(path: Path, builder: ModuleType, backend: str) -> abi.Library:
    """A library of these very sources, as it says itself.

    Raises:
        OSError: it cannot be loaded, or says that it is of others.
    """
    try:
        library = abi.open_library(path, backend)
        made_of = abi.out_text(library.ga_sources) if backend == "cpu" else ""
    except AttributeError as error:
        raise OSError(f"{path.name} lacks a function: {error}") from error
    if backend == "cpu" and made_of != builder.source_key(backend):
        raise OSError(f"{path.name} is of other sources ({made_of})")
    return library


def _built(builder: ModuleType, backend: str, why_not_prebuilt: str) -> Path:
    """A library from the cache, or one that is built into it.

    Raises:
        UserError: there is none, and none can be built.
    """
    cache: Path = builder.cache_folder()
    try:
        try:
            return builder.build_cached(backend)
        except builder.BuildError:
            # A library that another compiler built from the same sources is as good.
            built = sorted(cache.glob(f"*/{builder.library_name(backend)}"))
            if built:
                return built[0]
            raise
    except builder.BuildError as error:
        came = "; ".join(filter(None, (error.came, why_not_prebuilt)))
        raise UserError(error.expected, came, error.do) from error
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
