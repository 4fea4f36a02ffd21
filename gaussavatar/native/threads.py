"""Who gets the cores: the native library, frame by frame, rather than torch inside each small operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gaussavatar.errors import UserError
from gaussavatar.parallel import threads_wished, usable_cores

_threads: int | None = None


def set_threads(threads: int | None) -> None:
    """Use this many threads in the native library; ``None`` follows torch's number again."""
    global _threads
    if threads is not None and threads < 1:
        raise UserError("a number of threads of at least 1", str(threads), "give 1 or more")
    _threads = threads


def thread_count() -> int:
    """Threads of the next native call: what was set, else the environment's number, else torch's.

    Raises:
        UserError: the environment's is no number of threads.
    """
    return _threads or threads_wished() or torch.get_num_threads()


@contextmanager
def frame_parallel() -> Iterator[None]:
    """Inside, torch works on one thread and the native library on all cores (or as many as the environment says).

    torch's threads meet at a barrier in every operation: with a neighbour on one core a
    step was five times slower with two torch threads than with one, and no faster on a
    quiet machine, where frames side by side already fill the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    set_threads(usable_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
        set_threads(None)
