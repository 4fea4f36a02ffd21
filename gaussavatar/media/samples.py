"""Arrays that come a stretch at a time, such as samples out of a decoder: short ones in memory, long ones in a file."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.errors import UserError

IN_MEMORY = 16_000_000
"""Numbers (64 MB; of a sound 1000 s at 16 kHz) from which on they are kept in a temporary file that is mapped."""

STRETCH = 8192
"""Rows that are worked on at a time."""

_READ = 1 << 20


class LongArray:
    """Rows of 32-bit floats that come one stretch after the other; many of them lie in a file and not in memory.

    Args:
        row: shape of a row; () for single numbers.
    """

    def __init__(self, row: tuple[int, ...] = ()) -> None:
        self._row, self._rows = row, 0
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None

    def add(self, rows: Float32[np.ndarray, "n *row"]) -> None:
        """Put rows at the end.

        Raises:
            UserError: there is no room for the file.
        """
        rows = np.ascontiguousarray(rows, np.float32)
        self._rows += len(rows)
        if self._file is None:
            self._parts.append(rows)
            if self._rows * int(np.prod(self._row)) <= IN_MEMORY:
                return
            rows, self._parts = self._parts, []
        self._write(rows if isinstance(rows, list) else [rows])

    def _write(self, parts: list[np.ndarray]) -> None:
        try:
            self._file = self._file or tempfile.TemporaryFile(prefix="gaussavatar-")
            self._file.writelines(part.data for part in parts if part.size)
        except OSError as error:
            came = f"{error.strerror or error}, after {self._rows * int(np.prod(self._row)) * 4 / 1e9:.1f} GB"
            do = "free some, or name a larger folder in TMPDIR; an hour of sound takes .4 GB"
            raise UserError(f"room for temporary files in {tempfile.gettempdir()}", came, do) from error

    def array(self) -> Float32[np.ndarray, "n *row"]:
        """All of them, not to be written to; the last call on this object."""
        if self._file is None:
            return np.concatenate(self._parts) if self._parts else np.zeros((0, *self._row), np.float32)
        with self._file as file:
            file.flush()
            return np.memmap(file, np.float32, mode="r", shape=(self._rows, *self._row))


def read_samples(read: Callable[[int], bytes]) -> Float32[np.ndarray, "t"]:
    """All 32-bit floats that ``read`` of a pipe gives, brought into -1..1; not to be written to.

    A number that is none stays as it is.

    Raises:
        UserError: a long sound, and no room for it in the folder of temporary files.
    """
    whole, rest = LongArray(), b""
    while data := read(4 * _READ):
        data = rest + data
        end = len(data) // 4 * 4
        whole.add(np.clip(np.frombuffer(data[:end], "<f4"), -1.0, 1.0))
        rest = data[end:]
    return whole.array()


def forget_read(samples: Float[np.ndarray, "*t"]) -> None:
    """Let the memory go that reading a mapped array took; it is read again where it is needed again."""
    mapped = getattr(samples, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def stretches(rows: Float[np.ndarray, "n *row"], size: int = STRETCH) -> Iterator[Float[np.ndarray, "_ *row"]]:
    """Rows a stretch at a time, the last one shorter; of a mapped array none stays in memory. At least one stretch.

    What is worked out so takes no more memory for an hour than for a minute.
    """
    for start in range(0, max(len(rows), 1), size):
        yield rows[start : start + size]
        forget_read(rows)


def finite(samples: Float32[np.ndarray, "t"]) -> bool:
    """Whether all samples are numbers, looked at a few seconds at a time."""
    return all(bool(np.isfinite(part).all()) for part in stretches(samples, 1 << 20))
