"""Progress for a person at a terminal, or plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from gaussavatar.interrupts import answer_interrupt

Advance = Callable[[int], None]
"""Call with the number of steps just done."""


@runtime_checkable
class Progress(Protocol):
    """What the stages report to; telling it anything also answers a Ctrl-C that was swallowed."""

    def stage(self, name: str, total: int, done: int = 0) -> _StageContext:
        """Open a stage of ``total`` steps, ``done`` of them by an earlier run; its value is an :data:`Advance`."""
        ...

    def say(self, text: str) -> None:
        """Print one line."""
        ...


@runtime_checkable
class _StageContext(Protocol):
    def __enter__(self) -> Advance: ...
    def __exit__(self, *exception: object) -> bool | None: ...


class QuietProgress:
    """Reports nothing; for tests and library use."""

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        """See :class:`Progress`."""
        yield lambda steps: answer_interrupt()

    def say(self, text: str) -> None:
        """See :class:`Progress`."""
        answer_interrupt()


class TerminalProgress:
    """A rich progress bar with time left, or a line every ten seconds without a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)

    def say(self, text: str) -> None:
        """See :class:`Progress`."""
        answer_interrupt()
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        """See :class:`Progress`."""
        started = time.monotonic()
        if self._console.is_terminal:
            yield from self._bar(name, total, done)
        else:
            yield from self._lines(name, total, done)
        self.say(f"{name}: done in {time.monotonic() - started:.1f} s")

    def _bar(self, name: str, total: int, done: int) -> Iterator[Advance]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with RichProgress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(name, total=total, completed=done)

            def advance(steps: int) -> None:
                answer_interrupt()
                bar.advance(task, steps)

            yield advance

    def _lines(self, name: str, total: int, begun: int) -> Iterator[Advance]:
        started = last = time.monotonic()
        done = begun

        def advance(steps: int) -> None:
            nonlocal done, last
            answer_interrupt()
            done += steps
            now = time.monotonic()
            if now - last > 10 and done > begun:
                left = (now - started) / (done - begun) * max(0, total - done)
                sys.stderr.write(f"{name}: {done}/{total}, {left:.0f} s left\n")
                sys.stderr.flush()
                last = now

        yield advance
