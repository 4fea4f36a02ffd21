"""A Ctrl-C that is never lost, and the other polite ways to end a program.

Python drops an exception that is raised inside a finaliser or a callback from native code, KeyboardInterrupt too. So
the wish to stop is remembered, and looked at wherever progress is told. SIGTERM and SIGHUP, which service managers and
closed terminals send, end the program like Ctrl-C: what is half done is tidied away first.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a program to end, and let it."""


class Interrupted(KeyboardInterrupt):
    """A wish to stop; ``number`` is the signal's."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.number = number
        super().__init__()


_asked: list[int] = []


def _remember(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    raise Interrupted(number)


@contextmanager
def interrupts_remembered() -> Iterator[None]:
    """Within the block, remember the signals of :data:`ENDING` besides raising :class:`Interrupted`.

    An error that follows upon one is that one: a library may turn the interrupt into an exception of its own, and a
    child process that Ctrl-C ended as well fails whoever reads from it. Signals that are ignored stay so, as do those
    with a handler of another; outside the main thread nothing is done.

    Raises:
        Interrupted: see above.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.signal(number, _remember) for number in ENDING if signal.getsignal(number) in ours}
    try:
        yield
    except Exception as error:
        if _asked:
            raise Interrupted(_asked[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def answer_interrupt() -> None:
    """Raise :class:`Interrupted` again if one was asked for and something has swallowed it.

    Raises:
        Interrupted: see above; only in the main thread, which is the one that can end the work.
    """
    if _asked and threading.current_thread() is threading.main_thread():
        raise Interrupted(_asked[0])


def interrupt_answered() -> None:
    """Forget a Ctrl-C that did what it was meant to do, such as closing a viewer."""
    _asked.clear()
