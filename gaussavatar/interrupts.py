"""A Ctrl-C that is never lost.

Python drops an exception that is raised inside a finaliser or a callback from native code, KeyboardInterrupt too. So
the wish to stop is remembered, and looked at wherever progress is told.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()


def _remember(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt


@contextmanager
def interrupts_remembered() -> Iterator[None]:
    """Within the block, remember SIGINT besides raising KeyboardInterrupt; outside the main thread do nothing."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _asked.clear()


def answer_interrupt() -> None:
    """Raise KeyboardInterrupt again if one was asked for and something has swallowed it.

    Raises:
        KeyboardInterrupt: see above; only in the main thread, which is the one that can end the work.
    """
    if _asked.is_set() and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def interrupt_answered() -> None:
    """Forget a Ctrl-C that did what it was meant to do, such as closing a viewer."""
    _asked.clear()
