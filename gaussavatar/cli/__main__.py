"""``python -m gaussavatar.cli`` is the ``gaussavatar`` command; its entry point is here as well.

An interrupt or a lack of memory is answered in a line at any moment: also while modules are imported and the words are
read, before a verb runs, and while the interpreter ends. Nothing is imported here before that is seen to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_LINES = {
    130: b"\ninterrupted before anything was done\n",
    2: b"error: expected enough memory, got none that is left; close other programs, then run the same command again\n",
}
"""What is said by exit code where modules that could say it are not there yet; it takes no memory to write it."""

_ROOM = 4 << 20
"""Bytes that a thread needs at least: its first frames, and what the allocators set aside for it."""


def main() -> None:
    """Entry point of the ``gaussavatar`` command."""
    try:
        _be_ready()
        from gaussavatar.cli.main import main as begin

        try:
            begin()
        finally:
            from gaussavatar.interrupts import AFTER, end_at_once

            end_at_once(AFTER)
    except KeyboardInterrupt:
        _leave(130)
    except Exception as error:
        if not _lacks_memory(error):
            raise
        _leave(2)


def _be_ready() -> None:
    """Let signals end the program with a line until a verb takes them, and again once it is done."""
    import atexit
    import threading

    from gaussavatar.interrupts import BEFORE, end_at_once, ignore_signals

    end_at_once(BEFORE)
    # What is registered first is called last: from then on a signal would only meet an interpreter that goes.
    atexit.register(ignore_signals)
    sys.unraisablehook = _drop
    threading.Thread.start = _with_room(threading.Thread.start)


def _with_room(start: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let a thread start only where there is memory for it: Python waits for ever for one that dies as it begins.

    Raises:
        MemoryError: there is none.
    """
    import mmap

    def begin(thread: Any) -> None:
        try:
            mmap.mmap(-1, _ROOM).close()
        except OSError as error:
            raise MemoryError("no room for another thread") from error
        start(thread)

    return begin


def _drop(dropped: Any) -> None:
    """Say nothing of an interrupt or a lack of memory in a finaliser: who does the work meets it as well."""
    if not issubclass(dropped.exc_type, KeyboardInterrupt | MemoryError) and not _lacks_memory(dropped.exc_value):
        sys.__unraisablehook__(dropped)


def _lacks_memory(error: BaseException | None) -> bool:
    if isinstance(error, MemoryError):
        return True
    from gaussavatar.errors import lacks_memory

    return lacks_memory(error)


def _leave(code: int) -> None:
    """End at once: what an interpreter does on its way out needs memory and time as well."""
    try:
        os.write(2, _LINES[code])
    finally:
        # The terminal may be gone.
        os._exit(code)


if __name__ == "__main__":
    main()
