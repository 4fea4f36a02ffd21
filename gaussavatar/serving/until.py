"""A page from its first line in the terminal to its last: announced, opened, served until stopped, closed."""

from __future__ import annotations

import signal
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from gaussavatar.interrupts import ENDING, interrupt_answered
from gaussavatar.serving.address import say_who_sees

LOOK_UP = 0.5
"""Seconds after which a signal that another thread was given is answered."""

_ENDS = tuple(number for number in ENDING if number != signal.SIGINT)
"""What asks a service to end besides Ctrl-C: its supervisor, and a terminal that is closed."""


def serve_until_stopped(
    name: str,
    address: str,
    host: str,
    open_browser: bool,
    close: Callable[[], object],
    run: Callable[[], object] | None = None,
) -> None:
    """Say where a page is, open it, serve it until Ctrl-C or a signal that asks to end, and close it.

    Args:
        name: of what is served, such as "viewer".
        address: of the page.
        host: that it is served on.
        open_browser: whether to open the page.
        close: ends the serving; called whatever happens.
        run: serves, in this thread; None where other threads do.
    """
    with ExitStack() as stack:
        stack.callback(close)
        try:
            with ends_are_interrupts():
                print(f"{name}: {address} (Ctrl-C ends it)", flush=True)
                say_who_sees(host)
                if open_browser:
                    webbrowser.open(address)
                (run or _wait)()
        except KeyboardInterrupt:
            interrupt_answered()
    print(f"{name} closed", flush=True)


def _wait() -> None:
    """Wait for ever, but look up now and then.

    The system may give a signal to any thread. Where it was not this one, nothing wakes it, and Python runs the handler
    only when this thread goes on.
    """
    while True:
        time.sleep(LOOK_UP)


@contextmanager
def ends_are_interrupts() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt as SIGINT does, unless somebody has taken them.

    Outside the main thread, nothing is changed: Python runs handlers in that one alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    free = [number for number in _ENDS if signal.getsignal(number) == signal.SIG_DFL]
    for number in free:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
