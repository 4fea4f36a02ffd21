"""What ``batch --dry-run`` says: what would be done, how long it takes, and how much disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from gaussavatar.batch.costs import room_for
from gaussavatar.batch.journal import NAME, read_journal
from gaussavatar.batch.plan import Unit, makespan
from gaussavatar.batch.store import exists
from gaussavatar.batch.table import amount, duration
from gaussavatar.parallel import usable_cores


def plan_lines(
    units: Sequence[Unit], folder: Path, cores: int | None, *, cluster: bool, replace: bool
) -> Iterator[str]:
    """The plan, line by line.

    Args:
        units: of all rows.
        folder: of the batch, whose journal says what is done.
        cores: of this machine that would be used; all when None.
        cluster: whether another machine's cores would be, which nobody has counted yet.
        replace: whether files of others may be replaced.
    """
    from gaussavatar.batch.drive import Wishes, foreign, open_course
    from gaussavatar.batch.engine import local_memory

    with open(folder / NAME if (folder / NAME).is_file() else "/dev/null", encoding="utf-8") as file:
        course = open_course(units, read_journal(folder, file), Wishes(), folder / "logs", exists)
    seen = course.seen
    expected = {unit.name: unit.costs.seconds * (seen[unit.kind].ratio if unit.kind in seen else 1) for unit in units}
    left = [unit for unit in units if course.units[unit.name].state != "done"]
    for unit in units:
        each = course.units[unit.name]
        asks = f"{duration(expected[unit.name])} of a core, {amount(room_for(unit.costs, seen.get(unit.kind)))}"
        after = f", after {', '.join(unit.after)}" if unit.after else ""
        what = "done" if each.state == "done" else asks + after
        yield f"{unit.name}: {what} -> {unit.row.out}"
    for row, place in () if replace else foreign(course):
        yield f"{row.where}: {place} is there, and this batch did not make it: refused without --replace"
    rows = {unit.row.name: unit.row for unit in units}
    verbs = Counter(row.verb for row in rows.values())
    yield f"{len(rows)} rows: {', '.join(f'{count} {verb}' for verb, count in verbs.items())}; {len(left)} units to do"
    unknown = sum(not unit.costs.known for unit in left)
    if unknown:
        yield f"{unknown} of them read no clip or sound that says its length: a minute each is expected"
    workers = cores or usable_cores()
    memory = local_memory()
    most = max((room_for(unit.costs, seen.get(unit.kind)) for unit in left), default=1)
    side_by_side = max(1, min(workers, memory // most))
    for count in dict.fromkeys((1, side_by_side) if not cluster else (1, side_by_side, 10, 100)):
        yield f"{count} at a time: about {duration(makespan(left, count, expected))}"
    yield f"disk: about {amount(sum(unit.costs.disk for unit in left))}"
