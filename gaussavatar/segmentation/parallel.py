"""Frames in parallel over the cores, results in order, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def single_threaded_filters() -> Iterator[None]:
    """Stop OpenCV's own threads: the frames are already spread over the cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Like ``pool.map``, with at most ``ahead`` results waiting, so that memory stays bounded."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def triples(items: Iterable[Item]) -> Iterator[tuple[Item, Item, Item]]:
    """Every item between its neighbours; the first and the last stand in for the ones they lack."""
    window: list[Item] = []
    for item in items:
        window = [*(window[-2:] or [item]), item]
        if len(window) == 3:
            yield window[0], window[1], window[2]
    if window:
        yield window[-2], window[-1], window[-1]
