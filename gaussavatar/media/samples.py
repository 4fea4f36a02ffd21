"""Samples as they come out of a decoder: those of a short sound in memory, those of a long one in a file."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

IN_MEMORY = 16_000_000
"""Samples (1000 s at 16 kHz, 64 MB) from which on a sound is kept in a temporary file that is mapped."""

_READ = 1 << 20


def read_samples(read: Callable[[int], bytes]) -> Float32[np.ndarray, "t"]:
    """All 32-bit floats that ``read`` of a pipe gives, brought into -1..1; not to be written to.

    A number that is none stays as it is.
    """
    parts: list[np.ndarray] = []
    count, rest, file = 0, b"", None
    while data := read(4 * _READ):
        whole = rest + data
        rest = whole[len(whole) // 4 * 4 :]
        part = np.clip(np.frombuffer(whole[: len(whole) // 4 * 4], "<f4"), -1.0, 1.0)
        count += len(part)
        if file is None and count > IN_MEMORY:
            file = tempfile.TemporaryFile(prefix="gaussavatar-")
            file.writelines(old.data for old in parts)
            parts.clear()
        if file is None:
            parts.append(part)
        else:
            file.write(part.data)
    if file is None:
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
    with file:
        file.flush()
        return np.memmap(file, np.float32, mode="r", shape=(count,))


def forget_read(samples: Float32[np.ndarray, "t"]) -> None:
    """Let the memory go that reading a mapped array took; it is read again where it is needed again."""
    mapped = getattr(samples, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def finite(samples: Float32[np.ndarray, "t"]) -> bool:
    """Whether all samples are numbers, looked at a few seconds at a time."""
    step = 1 << 20
    for start in range(0, len(samples), step):
        if not np.isfinite(samples[start : start + step]).all():
            return False
        forget_read(samples)
    return True
