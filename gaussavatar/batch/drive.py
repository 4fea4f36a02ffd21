"""The run of a batch: units are handed to an engine as they become ready, and every one of them ends once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from gaussavatar.batch.costs import Seen, learned, room_for
from gaussavatar.batch.jobs import Row
from gaussavatar.batch.journal import Done, Journal
from gaussavatar.batch.plan import Unit, makespan, ranks, uses_paths
from gaussavatar.batch.row import Outcome, Task
from gaussavatar.batch.store import exists

MOST_CORES = 4
"""Cores that one unit is given where there are fewer units than cores."""

AHEAD = 2
"""Units that wait at the engine besides those that it has room for, so that no worker waits for the driver."""

LOOK = 0.5
"""Seconds between two looks at the engine."""


@dataclass(frozen=True)
class Room:
    """What the workers have in all, and the largest of them."""

    cores: int
    memory: int
    gpus: float
    largest: int
    """Bytes of memory of the largest node."""
    nodes: int
    smallest: int = MOST_CORES
    """Cores of the smallest node: a unit is never given more, so that any node can take it."""


@dataclass(frozen=True)
class Told:
    """What an attempt's log says; the first thing comes when it begins, and may be empty."""

    unit: str
    attempt: int
    node: str
    text: str


@dataclass(frozen=True)
class Ended:
    """How an attempt ended."""

    unit: str
    attempt: int
    outcome: Outcome


@runtime_checkable
class Engine(Protocol):
    """Runs tasks somewhere."""

    def room(self) -> Room:
        """What there is at the moment."""
        ...

    def start(self, task: Task, gpu: float) -> None:
        """Run a task as soon as there is room for it."""
        ...

    def wait(self, seconds: float) -> list[Told | Ended]:
        """What has happened; waits so long where nothing has."""
        ...


State = Literal["waiting", "queued", "running", "done", "failed", "skipped"]
ENDS = ("done", "failed", "skipped")


@dataclass
class Progress:
    """Where a unit is."""

    unit: Unit
    state: State = "waiting"
    attempt: int = 0
    memory: int = 0
    node: str = ""
    begun: float = 0.0
    """On the driver's steady clock."""
    seconds: float = 0.0
    line: str = ""
    """The last that its log said, or why it failed."""
    before: bool = False
    """Whether a run before this one did it."""


@dataclass(frozen=True)
class Wishes:
    """How a batch is run."""

    retries: int = 3
    """Attempts after the first where a worker, node or command dies."""
    work: str | None = None
    seen: str | None = None
    """A file that nodes must see where paths are used."""


@dataclass
class Course:
    """The state of a batch while it runs; what the table and the page show."""

    units: dict[str, Progress]
    journal: Journal
    wishes: Wishes
    logs: Path
    room: Room | None = None
    seen: dict[str, Seen] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Whether every unit has ended."""
        return all(each.state in ENDS for each in self.units.values())

    def states(self) -> dict[str, State]:
        """The state of every row."""
        rows: dict[str, list[Progress]] = {}
        for each in self.units.values():
            rows.setdefault(each.unit.row.name, []).append(each)
        return {name: _of_parts([each.state for each in parts]) for name, parts in rows.items()}

    def expected(self) -> dict[str, float]:
        """Seconds that each unit is expected to take yet, on the cores that it gets."""
        now, found = time.monotonic(), {}
        for name, each in self.units.items():
            ratio = self.seen[each.unit.kind].ratio if each.unit.kind in self.seen else 1.0
            whole = each.unit.costs.seconds * ratio
            found[name] = max(0.1 * whole, whole - (now - each.begun)) if each.state == "running" else whole
        return found

    def left(self) -> float:
        """Seconds until all is done, as far as anybody can tell."""
        open_units = [each.unit for each in self.units.values() if each.state not in ENDS]
        workers = max(1, self.room.cores if self.room else 1)
        return makespan(open_units, workers, self.expected())


def _of_parts(states: Sequence[State]) -> State:
    for state in ("failed", "skipped", "running", "queued"):
        if state in states:
            return state
    if all(state == "done" for state in states):
        return "done"
    return "running" if "done" in states else "waiting"


def open_course(
    units: Sequence[Unit], journal: Journal, wishes: Wishes, logs: Path, is_there: Callable[[str], bool]
) -> Course:
    """The state before a run: what was done by one before it, with outputs that are still there, is done."""
    course = Course({unit.name: Progress(unit) for unit in units}, journal, wishes, logs)
    finished = {
        unit.row.name
        for unit in units
        if unit.ends_row and _was_done(unit, journal) and all(is_there(place) for place in unit.row.writes)
    }
    for each in course.units.values():
        # A part of a video that was joined is gone; one of a video that was not may still be there.
        if each.unit.row.name in finished or (not each.unit.ends_row and _was_done(each.unit, journal)):
            each.state, each.before = "done", True
    _undo_lost_parts(course, is_there)
    _learn(course)
    return course


def _was_done(unit: Unit, journal: Journal) -> bool:
    return unit.name in journal.done and journal.done[unit.name].key == unit.key


def _undo_lost_parts(course: Course, is_there: Callable[[str], bool]) -> None:
    """Parts count as done only as long as their folder is there."""
    for each in course.units.values():
        unit = each.unit
        if unit.part and each.state == "done" and course.units[_joining(course, unit)].state != "done":
            if not is_there(f"{unit.row.out}.part"):
                each.state, each.before = "waiting", False


def _joining(course: Course, unit: Unit) -> str:
    return next(
        name for name, each in course.units.items() if each.unit.row.name == unit.row.name and each.unit.ends_row
    )


def drive(course: Course, engine: Engine, show: Callable[[Course, bool], None]) -> None:
    """Run all that is not done.

    Args:
        course: where the batch is; changed.
        engine: what runs it.
        show: is given the course twice a second; True where something ended.
    """
    while not course.over():
        course.room = engine.room()
        _hand_out(course, engine)
        ended = False
        for event in engine.wait(LOOK):
            each = course.units[event.unit]
            if event.attempt != each.attempt or each.state in ENDS:
                continue
            if isinstance(event, Told):
                _hear(course, each, event)
            else:
                ended = True
                _end(course, each, event.outcome)
        show(course, ended)


def _hand_out(course: Course, engine: Engine) -> None:
    assert course.room is not None
    out = [each for each in course.units.values() if each.state in ("queued", "running")]
    ready = [each for each in course.units.values() if each.state == "waiting" and _may_begin(course, each.unit)]
    if not ready:
        return
    rank = ranks([each.unit for each in course.units.values()], course.expected())
    cores = max(1, min(MOST_CORES, course.room.smallest, course.room.cores // max(1, len(out) + len(ready))))
    used = sum(each.memory for each in out)
    for each in sorted(ready, key=lambda each: -rank[each.unit.name]):
        memory = min(max(each.memory, room_for(each.unit.costs, course.seen.get(each.unit.kind))), course.room.largest)
        full = len(out) * cores >= course.room.cores or used + memory > course.room.memory
        if full and sum(other.state == "queued" for other in out) >= AHEAD:
            return
        each.state, each.attempt, each.memory, used = "queued", each.attempt + 1, memory, used + memory
        out.append(each)
        course.journal.began(each.unit.name, each.unit.row.writes)
        engine.start(_task(course, each, cores), each.unit.costs.gpu if course.room.gpus else 0.0)


def _may_begin(course: Course, unit: Unit) -> bool:
    return all(course.units[name].state == "done" for name in unit.after if name in course.units)


def _task(course: Course, each: Progress, cores: int) -> Task:
    unit, row = each.unit, each.unit.row
    joins = unit.part in (None, "join")
    words = row.words() + ([] if joins else [f"--part={unit.part}"])
    reads = tuple((place, unit.shared.get(place, "")) for place in row.reads)
    evaluated = any(
        other.unit.row.verb == "evaluate" and other.unit.row.value("avatar") == row.out
        for other in course.units.values()
    )
    return Task(
        unit.name, each.attempt, unit.key, row.verb, tuple(words), reads, row.writes, unit.part, evaluated, cores,
        # Twice what it asks for: what it was expected to need is a guess until one of its kind has ended.
        2 * each.memory, course.wishes.work, course.wishes.seen if uses_paths(unit) else None,
    )  # fmt: skip


def _hear(course: Course, each: Progress, told: Told) -> None:
    first = each.state != "running"
    if first:
        each.state, each.node, each.begun = "running", told.node, time.monotonic()
    lines = [line.strip() for line in told.text.splitlines() if line.strip()]
    each.line = lines[-1][:200] if lines else each.line
    _log(course, each, (f"--- {each.unit.name}, attempt {each.attempt}, on {told.node}\n" if first else "") + told.text)


def _log(course: Course, each: Progress, text: str) -> None:
    course.logs.mkdir(parents=True, exist_ok=True)
    with (course.logs / f"{each.unit.row.name}.log").open("a", encoding="utf-8") as file:
        file.write(text)


def _end(course: Course, each: Progress, outcome: Outcome) -> None:
    each.seconds, each.node = outcome.seconds, outcome.node or each.node
    if outcome.end == "done":
        each.state = "done"
        done = Done(each.unit.key, outcome.seconds, outcome.cpu, outcome.peak, each.node, each.attempt, each.unit.kind)
        course.journal.ended(each.unit.name, done)
        _learn(course)
        return
    each.line = outcome.message
    _log(course, each, f"--- ended: {outcome.message}\n")
    if outcome.end != "failed" and each.attempt <= course.wishes.retries:
        each.state = "waiting"
        if outcome.end == "memory":
            each.memory = max(2 * each.memory, outcome.peak)
        return
    if outcome.end != "failed":
        each.line = f"{outcome.message}, {each.attempt} times"
    each.state = "failed"
    _skip(course, each.unit.name)


def _skip(course: Course, name: str) -> None:
    for each in course.units.values():
        if name in each.unit.after and each.state not in ENDS:
            each.state, each.line = "skipped", f"{name} failed"
            _skip(course, each.unit.name)


def _learn(course: Course) -> None:
    """What was seen of units of each kind, by whichever run of this batch."""
    done: list[tuple[Done, float]] = []
    for name, each in course.units.items():
        if name in course.journal.done and each.state == "done":
            done.append((course.journal.done[name], each.unit.costs.seconds))
    course.seen = learned(done)


def rows_by_state(states: Mapping[str, State]) -> dict[State, int]:
    """How many rows are in each state."""
    counts: dict[State, int] = {}
    for state in states.values():
        counts[state] = counts.get(state, 0) + 1
    return counts


def foreign(course: Course) -> list[tuple[Row, str]]:
    """Outputs that are there before their row has begun, in this run or another of this batch.

    A folder of a fit is none: ``fit`` goes on in one of the same clip, and refuses that of another.
    """
    rows = {each.unit.row.name: each.unit.row for each in course.units.values() if each.state != "done"}
    return [
        (row, place)
        for row in rows.values()
        for place in row.writes
        if row.verb in ("speak", "export") and place not in course.journal.made and exists(place)
    ]
