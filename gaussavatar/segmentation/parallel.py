"""What frames that are worked on side by side need: OpenCV's own threads off, each frame with its neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import cv2

Item = TypeVar("Item")


@contextmanager
def single_threaded_filters() -> Iterator[None]:
    """Stop OpenCV's own threads: the frames are already spread over the cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def triples(items: Iterable[Item]) -> Iterator[tuple[Item, Item, Item]]:
    """Every item between its neighbours; the first and the last stand in for the ones they lack."""
    window: list[Item] = []
    for item in items:
        window = [*(window[-2:] or [item]), item]
        if len(window) == 3:
            yield window[0], window[1], window[2]
    if window:
        yield window[-2], window[-1], window[-1]
