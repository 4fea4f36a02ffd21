"""Who gets the cores: the native library, frame by frame, rather than torch inside each small operation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gaussavatar.native.library import set_threads


@contextmanager
def frame_parallel() -> Iterator[None]:
    """Inside, torch works on one thread and the native library on all cores.

    torch's threads meet at a barrier in every operation: with a neighbour on one core a
    step was five times slower with two torch threads than with one, and no faster on a
    quiet machine, where frames side by side already fill the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    set_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        set_threads(None)
