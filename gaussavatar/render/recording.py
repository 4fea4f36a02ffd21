"""Work on a GPU that is recorded once, as a CUDA graph, and replayed.

Starting a kernel takes the processor longer than running a small one takes a GPU; a replay starts all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

Replay = Callable[[], None]
Record = Callable[[Callable[[], Result]], tuple[Replay, Result]]
"""Records a function; gives what replays it, and its results, whose tensors every replay fills anew."""


def record_cuda(work: Callable[[], Result]) -> tuple[Replay, Result]:
    """Record what ``work`` launches on the current device.

    Raises:
        RuntimeError: ``work`` does what a graph cannot hold, asking for a value for example.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        results = work()
    return graph.replay, results
