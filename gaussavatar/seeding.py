"""Chance as a function of a seed, also where torch draws from its global generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch's global CPU generator start at ``seed`` within the block, and leave it as it was found.

    Modules draw their first weights, and dropout its gaps, from the global generator, which nothing else seeds.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed seeds every device: without one it writes down the whole call stack for later.
        (torch if torch.cuda.is_initialized() else torch.default_generator).manual_seed(seed)
        yield
