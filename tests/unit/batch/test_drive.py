"""The course of a batch with an engine of the test's own: every row ends once, in its order, however attempts end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gaussavatar.batch.costs import Costs
from gaussavatar.batch.drive import Course, Ended, Engine, Room, Told, Wishes, drive, foreign, open_course
from gaussavatar.batch.jobs import Row
from gaussavatar.batch.journal import open_journal
from gaussavatar.batch.plan import Unit, in_order, make_plan, makespan, parts_of, ranks
from gaussavatar.batch.row import Outcome, Task
from gaussavatar.batch.table import headline

GIB = 1 << 30


class Script:
    """An engine that ends every attempt as it is told to: by unit, a list of ends; then well."""

    def __init__(self, cores: int = 2, **ends: list[Outcome]) -> None:
        self.cores, self.ends = cores, ends
        self.tasks: list[Task] = []
        self.open: list[Task] = []
        self.most, self.smallest = 0, cores

    def room(self) -> Room:
        return Room(self.cores, 8 * GIB, 0.0, 8 * GIB, 1, self.smallest)

    def start(self, task: Task, gpu: float) -> None:
        self.tasks.append(task)
        self.open.append(task)
        self.most = max(self.most, len(self.open))

    def wait(self, seconds: float) -> list[Told | Ended]:
        if not self.open:
            return []
        task = self.open.pop(0)
        left = self.ends.get(task.unit, [])
        outcome = left.pop(0) if left else Outcome("done", seconds=1.0, cpu=1.0, peak=100 << 20, node="n:1")
        # What a worker that is thought dead says later counts for nothing.
        late = Ended(task.unit, task.attempt - 1, Outcome("failed", "too late"))
        return [Told(task.unit, task.attempt, "n:1", "some words\n"), late, Ended(task.unit, task.attempt, outcome)]


def unit(name: str, *after: str, seconds: float = 1.0, part: str | None = None, tmp: str = "/nowhere") -> Unit:
    row = Row(name.split()[0], f"row {name}", "speak", {}, (), (f"{tmp}/{name.split()[0]}.mp4",), {})
    return Unit(name, row, part, after, f"key {name}", "speak 96", Costs(seconds, GIB, 0), {})


@pytest.fixture
def ran(tmp_path: Path) -> Callable[..., Course]:
    """Runs units on an engine, with outputs that are always there."""

    def run(units: list[Unit], engine: Engine, retries: int = 2) -> Course:
        with open_journal(tmp_path / "batch") as journal:
            course = open_course(units, journal, Wishes(retries), tmp_path / "batch" / "logs", lambda place: True)
            drive(course, engine, lambda course, ended: None)
        return course

    return run


def test_units_run_in_their_order_and_once(ran: Callable[..., Course], tmp_path: Path) -> None:
    units = [unit("fit"), unit("a", "fit"), unit("b", "fit"), unit("c", "a", "b")]
    engine = Script()
    course = ran(units, engine)
    order = [task.unit for task in engine.tasks]
    assert order[0] == "fit" and order[-1] == "c" and sorted(order) == ["a", "b", "c", "fit"]
    assert set(course.states().values()) == {"done"} and headline(course).startswith("4 of 4 rows done")
    again = Script()
    assert set(ran(units, again).states().values()) == {"done"} and again.tasks == []
    log = (tmp_path / "batch" / "logs" / "a.log").read_text()
    assert log == "--- a, attempt 1, on n:1\nsome words\n"


def test_what_changed_is_done_again(ran: Callable[..., Course]) -> None:
    units = [unit("a"), unit("b")]
    ran(units, Script())
    changed = [units[0], Unit(**{**units[1].__dict__, "key": "another"})]
    engine = Script()
    ran(changed, engine)
    assert [task.unit for task in engine.tasks] == ["b"]


def test_lost_attempts_are_tried_again_and_failed_ones_are_not(ran: Callable[..., Course]) -> None:
    lost, failed = Outcome("lost", "its node died"), Outcome("failed", "error: expected a face")
    engine = Script(a=[lost, lost], b=[failed], c=[lost] * 9)
    course = ran([unit("a"), unit("b"), unit("c"), unit("after", "b"), unit("d")], engine, retries=2)
    states = course.states()
    assert states == {"a": "done", "b": "failed", "c": "failed", "after": "skipped", "d": "done"}
    tries = [task.unit for task in engine.tasks]
    assert (tries.count("a"), tries.count("b"), tries.count("c"), tries.count("after")) == (3, 1, 3, 0)
    assert course.units["c"].line == "its node died, 3 times" and course.units["after"].line == "b failed"


def test_who_wants_more_memory_gets_more(ran: Callable[..., Course]) -> None:
    engine = Script(a=[Outcome("memory", "more", peak=3 * GIB)])
    course = ran([unit("a")], engine)
    assert course.states() == {"a": "done"}
    first, second = (task.memory for task in engine.tasks)
    assert first == 2 * GIB and second == 6 * GIB


def test_memory_is_learned_and_no_more_run_than_there_is_room_for(ran: Callable[..., Course]) -> None:
    engine = Script(cores=16)
    ran([unit(f"u{number}") for number in range(40)], engine)
    # Before any has ended each asks for 1 of 8 GiB; two more may wait.
    assert all(task.memory == 2 * GIB for task in engine.tasks[:8])
    assert engine.most <= 8 + 16 and engine.tasks[-1].memory < GIB
    assert engine.tasks[0].cores == 1


def test_few_units_share_the_cores(ran: Callable[..., Course]) -> None:
    engine = Script(cores=16)
    ran([unit("a"), unit("b")], engine)
    assert [task.cores for task in engine.tasks] == [4, 4]


def test_no_unit_asks_for_more_than_the_smallest_node_has(ran: Callable[..., Course]) -> None:
    engine = Script(cores=16)
    engine.smallest = 1
    ran([unit("a")], engine)
    assert [task.cores for task in engine.tasks] == [1]


def test_outputs_of_others_are_found(ran: Callable[..., Course], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("somebody's film")
    units = [unit("a", tmp=str(tmp_path)), unit("b", tmp=str(tmp_path))]
    with open_journal(tmp_path / "batch") as journal:
        course = open_course(units, journal, Wishes(), tmp_path, lambda place: Path(place).exists())
        assert [(row.name, place) for row, place in foreign(course)] == [("a", str(tmp_path / "a.mp4"))]
        journal.began("a", (str(tmp_path / "a.mp4"),))
        assert foreign(course) == []


def test_a_row_whose_output_is_gone_is_done_again(tmp_path: Path) -> None:
    units, there = [unit("a"), unit("b")], {"/nowhere/a.mp4", "/nowhere/b.mp4"}
    for gone in (None, "/nowhere/a.mp4"):
        engine = Script()
        with open_journal(tmp_path) as journal:
            course = open_course(units, journal, Wishes(), tmp_path / "logs", (there - {gone}).__contains__)
            drive(course, engine, lambda course, ended: None)
        assert [task.unit for task in engine.tasks] == (["a", "b"] if gone is None else ["a"])


def test_parts_of_a_row_that_was_not_joined_stay_done_while_they_are_there(tmp_path: Path) -> None:
    units = [unit("a hear", part="hear"), unit("a 1/1", "a hear", part="1/1"), unit("a join", "a 1/1", part="join")]
    there: set[str] = set()
    for known, wanted in (({"/nowhere/a.mp4.part"}, ["a join"]), (set(), ["a hear", "a 1/1", "a join"])):
        engine = Script(**{"a join": [Outcome("failed", "x")]})
        with open_journal(tmp_path / str(len(known))) as journal:
            first = open_course(units, journal, Wishes(), tmp_path / "logs", there.__contains__)
            drive(first, engine, lambda course, ended: None)
        assert first.states() == {"a": "failed"}
        again = Script()
        with open_journal(tmp_path / str(len(known))) as journal:
            second = open_course(units, journal, Wishes(), tmp_path / "logs", known.__contains__)
            drive(second, again, lambda course, ended: None)
        assert [task.unit for task in again.tasks] == wanted and second.states() == {"a": "done"}
        assert [word for task in again.tasks for word in task.words if "--part" in word] == [
            f"--part={name[2:]}" for name in wanted[:-1]]  # fmt: skip


def test_makespan() -> None:
    units = [unit("f", seconds=10), unit("a", "f", seconds=5), unit("b", "f", seconds=5), unit("c", seconds=5)]
    seconds = {each.name: each.costs.seconds for each in units}
    assert makespan(units, 1, seconds) == 25 and makespan(units, 2, seconds) == 15 and makespan(units, 9, seconds) == 15
    assert ranks(units, seconds) == {"f": 15, "a": 5, "b": 5, "c": 5}
    assert in_order({"a": ("f",), "f": ()}) == ["f", "a"] and makespan([], 2, {}) == 0


def test_a_plan_cuts_long_sounds_and_names_what_all_depends_on(rows, toy_avatar: Path, tmp_path: Path) -> None:  # noqa: ANN001
    import soundfile

    from tests.unit.speak.conftest import voice

    for name, seconds in (("long.wav", 250.0), ("short.wav", 1.0)):
        soundfile.write(tmp_path / name, voice(seconds), 16_000)
    found = rows(f"[{{verb: speak, avatar: {toy_avatar}, audio: long.wav}},"
                 f" {{verb: speak, avatar: {toy_avatar}, audio: short.wav}}]")  # fmt: skip
    units, wrong = make_plan(found, 0.005, lambda path: path.name)
    assert not wrong and [each.part for each in units] == ["hear", "1/3", "2/3", "3/3", "join", None]
    assert [each.after for each in units][1:5] == [(units[0].name,)] * 3 + [tuple(each.name for each in units[1:4])]
    assert len({each.key for each in units}) == 6 and units[-1].kind == "speak 96"
    others, _ = make_plan(found, 0.005, lambda path: path.name + "!")
    assert not {each.key for each in others} & {each.key for each in units}
    assert parts_of(found[0], None) == 1 and parts_of(found[0], 100_000.0) == 64
    (tmp_path / "short.wav").write_text("no sound")
    _, wrong = make_plan(found, 0.005, lambda path: path.name)
    assert len(wrong) == 1 and "row 2 of jobs.yaml" in str(wrong[0])


def test_the_package_needs_no_ray() -> None:
    code = "import sys; sys.modules['ray'] = None; import gaussavatar; import gaussavatar.batch.engine; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr
