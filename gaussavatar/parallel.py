"""Work on many items in threads: results in order, memory bounded, cores shared out."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

from gaussavatar.errors import UserError

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


_share = threading.local()


THREADS_VARIABLE = "GAUSSAVATAR_THREADS"
"""Environment variable with the number of threads; all cores where it is not set."""


def threads_wished() -> int | None:
    """The environment's number of threads; None where it has none.

    Raises:
        UserError: what it has is no number of threads.
    """
    text = os.environ.get(THREADS_VARIABLE)
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"a number of threads in {THREADS_VARIABLE}", repr(text), "set it to 1 or more, or unset it")
    return int(text)


def usable_cores() -> int:
    """Cores that this process may use: those that the system gives it, or fewer by the environment's number."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, threads_wished() or cores)


def own_cores() -> int:
    """Cores that work which is started from this thread may keep busy: all, or its share (:func:`take_share`)."""
    return getattr(_share, "cores", None) or usable_cores()


def take_share(cores: int) -> None:
    """Let this thread's work keep so many cores busy from now on; a pool's ``initializer``, where pools are nested."""
    _share.cores = cores
