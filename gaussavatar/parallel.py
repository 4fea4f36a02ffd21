"""Work on many items in threads: results in order, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Like ``pool.map``, with at most ``ahead`` results worked on or waiting, so that memory stays bounded.

    Items are taken in the caller's thread, the next one while the pool works: an iterable may hold what must not run
    in a worker. Item ``k`` is handed to the pool after the result of item ``k - ahead`` is there. What has not begun
    is cancelled when the iterator is closed or fails.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
