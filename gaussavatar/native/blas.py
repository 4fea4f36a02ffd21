"""The linear algebra of numpy, scipy and OpenCV on one thread: its sums do not depend on the number of cores."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "OPENBLAS_NUM_THREADS"
_PREFIXES, _SUFFIXES = ("", "scipy_"), ("", "64_")
"""What builds of OpenBLAS put around the names of their functions, so that several fit into one process."""


@contextmanager
def steady_sums() -> Iterator[None]:
    """Inside, every OpenBLAS of this process works on one thread.

    It adds up in another order with another number of threads, and the last digit of a sum decides over all that a
    training makes of it. The command line asks for one thread before numpy is loaded; a program that calls ``fit``
    has loaded it. Where there is no ``/proc`` only what is loaded inside heeds this.
    """
    import cv2  # noqa: F401 - what is loaded here can be asked below
    import scipy.linalg  # noqa: F401

    libraries = _open_blas()
    before = [tell() for tell, _ in libraries]
    asked = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    for _, use in libraries:
        use(1)
    try:
        yield
    finally:
        for (_, use), number in zip(libraries, before, strict=True):
            use(number)
        if asked is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = asked


def blas_threads() -> tuple[int, ...]:
    """Threads of every OpenBLAS that is loaded."""
    return tuple(tell() for tell, _ in _open_blas())


def _open_blas() -> list[tuple[Callable[[], int], Callable[[int], None]]]:
    """How every loaded OpenBLAS tells its number of threads, and takes another."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = sorted({line.split(maxsplit=5)[-1] for line in lines if "openblas" in line})
    found = []
    for path in paths:
        library = ctypes.CDLL(path)
        for name in (f"{first}openblas_%s_num_threads{last}" for first in _PREFIXES for last in _SUFFIXES):
            tell, use = (getattr(library, name % word, None) for word in ("get", "set"))
            if tell and use:
                tell.argtypes, tell.restype, use.argtypes, use.restype = [], ctypes.c_int, [ctypes.c_int], None
                found.append((tell, use))
                break
    return found
