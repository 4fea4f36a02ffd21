"""What a person at a terminal sees of a batch: one table that stays in its place, or plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gaussavatar.batch.drive import Course, Progress, rows_by_state
from gaussavatar.interrupts import answer_interrupt

MOST_LINES = 16
"""Units that are shown at a time."""

Show = Callable[[Course, bool], None]


def duration(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def amount(bytes_: float) -> str:
    """Bytes as a person reads them."""
    return f"{bytes_ / (1 << 20):.0f} MiB" if bytes_ < 1 << 30 else f"{bytes_ / (1 << 30):.1f} GiB"


def headline(course: Course) -> str:
    """The batch in a line."""
    counts = rows_by_state(course.states())
    total = sum(counts.values())
    parts = [f"{counts.get('done', 0)} of {total} rows done"]
    parts += [f"{counts[state]} {state}" for state in ("running", "failed", "skipped") if counts.get(state)]
    if course.room is not None:
        nodes = f" on {course.room.nodes} nodes" if course.room.nodes > 1 else ""
        parts.append(f"{course.room.cores} cores{nodes}")
    left = course.left()
    return ", ".join(parts) + (f", about {duration(left)} left" if left > 0 else "")


def shown_units(course: Course) -> list[Progress]:
    """Those that a table of a few lines shows: what runs, then what failed last."""
    running = sorted((each for each in course.units.values() if each.state == "running"), key=lambda each: each.begun)
    failed = [each for each in course.units.values() if each.state == "failed"]
    return [*running[:MOST_LINES], *failed[-max(3, MOST_LINES - len(running)) :]]


@contextmanager
def shown() -> Iterator[Show]:
    """A function that shows a course: in one live table, or where stderr is no terminal, a line for each end."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().show
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=2, transient=False) as live:

        def show(course: Course, ended: bool) -> None:
            answer_interrupt()
            live.update(_table(course))

        yield show


def _table(course: Course) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, expand=False)
    for name in ("row", "", "for", "on", "says"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=60 if name == "says" else 32)
    for each in shown_units(course):
        running = each.state == "running"
        seconds = time.monotonic() - each.begun if running else each.seconds
        state = f"attempt {each.attempt}" if running and each.attempt > 1 else each.state
        cells = (each.unit.name, state, duration(seconds), each.node, each.line)
        table.add_row(*(Text(cell) for cell in cells))
    return Group(Text(headline(course), style="bold"), table)


class _Lines:
    """Says in a line what became of each row, and every half a minute where the batch is."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._last = time.monotonic()

    def show(self, course: Course, ended: bool) -> None:
        """Say what is new."""
        answer_interrupt()
        for name, each in course.units.items():
            told = _line(each)
            if told and self._said.get(name) != told:
                self._said[name] = told
                sys.stderr.write(f"{told}\n")
        if time.monotonic() - self._last > 30:
            self._last = time.monotonic()
            sys.stderr.write(f"{headline(course)}\n")
        sys.stderr.flush()


def _line(each: Progress) -> str:
    if each.before:
        return ""
    if each.state == "done":
        return f"{each.unit.name}: done in {each.seconds:.1f} s"
    if each.state in ("failed", "skipped"):
        return f"{each.unit.name}: {each.state}: {each.line}"
    return f"{each.unit.name}: again, for {each.line}" if each.state == "waiting" and each.attempt else ""
