"""A Ctrl-C that is never lost, and the other polite ways to end a program.

Python drops an exception that is raised inside a finaliser or a callback from native code, KeyboardInterrupt too. So
the wish to stop is remembered, and looked at wherever progress is told. SIGTERM and SIGHUP, which service managers and
closed terminals send, end the program like Ctrl-C: what is half done is tidied away first.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

EXIT_SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a program: 130 after Ctrl-C, 143 after SIGTERM."""

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a program to end, and let it."""


class Interrupted(KeyboardInterrupt):
    """A wish to stop; ``number`` is the signal's."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.number = number
        super().__init__()


BEFORE, AFTER = "before anything was done", "after the work had ended"
"""When :func:`end_at_once` ends the program, as its line says it."""


def interruption(number: int) -> str:
    """How it is called that a signal has ended the program."""
    return "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"


def _end_at_once(when: str, number: int, frame: FrameType | None) -> None:
    """A handler that ends the program where it stands, without an exception that somebody could swallow."""
    # The terminal may be gone.
    with suppress(OSError):
        os.write(2, f"\n{interruption(number)} {when}\n".encode())
    os._exit(EXIT_SIGNALLED + number)


def end_at_once(when: str) -> None:
    """From now on the signals of :data:`ENDING` end the program at once, with a line and its exit code.

    For the time before the work and after it, when nothing is half done. Signals that are ignored stay so.

    Args:
        when: :data:`BEFORE` or :data:`AFTER`.
    """
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if _is_ours(signal.getsignal(number)):
                signal.signal(number, partial(_end_at_once, when))


def ignore_signals() -> None:
    """Ignore the signals of :data:`ENDING`: for the last steps of an interpreter that has nothing left to do.

    Ignored they stay so when Python puts handlers back, and in threads that are still there.
    """
    for number in ENDING:
        if _is_ours(signal.getsignal(number)):
            signal.signal(number, signal.SIG_IGN)


def _is_ours(handler: object) -> bool:
    return handler in (signal.SIG_DFL, signal.default_int_handler, _remember) or _ends_at_once(handler)


def _ends_at_once(handler: object) -> bool:
    return isinstance(handler, partial) and handler.func is _end_at_once


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
    before = {number: signal.signal(number, _remember) for number in ENDING if _is_ours(signal.getsignal(number))}
    try:
        yield
    except Exception as error:
        if _asked:
            raise Interrupted(_asked[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, partial(_end_at_once, AFTER) if _ends_at_once(handler) else handler)
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
