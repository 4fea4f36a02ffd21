"""The verb ``batch``."""

from __future__ import annotations

import contextlib
import io
import os
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from tyro.conf import Positional

from gaussavatar.cli.common import complain, say, shown
from gaussavatar.cli.evaluate import Evaluate
from gaussavatar.cli.export import Export
from gaussavatar.cli.fit import Fit
from gaussavatar.cli.speak import Speak
from gaussavatar.cli.words import parsed
from gaussavatar.errors import EXIT_USER_ERROR, UserError

if TYPE_CHECKING:
    from gaussavatar.batch.drive import Course
    from gaussavatar.batch.jobs import Option, Row, Verbs
    from gaussavatar.batch.journal import Journal
    from gaussavatar.batch.plan import Unit

COMMANDS: dict[str, type] = {"fit": Fit, "speak": Speak, "evaluate": Evaluate, "export": Export}
"""The verbs that rows can have."""

WRITES = ("out", "save_motion", "save_curves", "save_frames")
"""Options of the verbs that name what is written."""

WORD_OR_FILE = ("background", "head")
"""Options of ``speak`` and ``export`` that are a word, or a file that is read."""

EXIT_FAILED, MOST_FAILED = 100, 25
"""Exit code of a batch in which rows failed: this and their number, as far as there are codes without a meaning."""


@dataclass(frozen=True)
class Batch:
    """Run many rows of fit, speak, evaluate and export, side by side, on this machine or a Ray cluster."""

    jobs: Positional[Path]
    """Rows as .csv or .yaml: verb, and the options of that verb. A row waits for those that write what it reads."""

    out: Path | None = None
    """Folder for the journal, the logs and batch.html; <name of the jobs>-batch when not given."""

    base: str | None = None
    """What relative places in rows stand below: a folder, or an address such as s3://bucket/summer; the working folder
    when not given."""

    address: str | None = None
    """A running Ray cluster to join (host:port, or auto); Ray is started on this machine when not given."""

    cores: int | None = None
    """Cores of this machine to use; all when not given."""

    retries: int = 3
    """How often a row is tried again whose worker, node or process died, or that wanted more memory."""

    work: Path | None = None
    """Folder on each node for what comes from a store and goes there; one below the temporary folder when not given."""

    replace: bool = False
    """Replace files that are there and that this batch did not make."""

    dry_run: bool = False
    """Say what would be done, how long it takes and how much disk, and do nothing."""

    def run(self) -> int:
        """Run what is not done yet; the exit code is 100 and the number of rows without their output."""
        self._check()
        from gaussavatar.batch.journal import open_journal

        folder = self.out or Path(f"{self.jobs.stem}-batch")
        if not self.dry_run:
            from gaussavatar.batch.engine import require_ray

            require_ray(self.address)
        rows = self._rows()
        if rows is None:
            return EXIT_USER_ERROR
        if self.dry_run:
            return self._told(rows, folder)
        with open_journal(folder) as journal:
            units = self._units(rows, folder, keep=True)
            if units is None:
                return EXIT_USER_ERROR
            return self._driven(units, journal, folder)

    def _check(self) -> None:
        for name, value, least in (("--cores", self.cores, 1), ("--retries", self.retries, 0)):
            if value is not None and value < least:
                raise UserError(f"a number of at least {least} for {name}", str(value), "correct it")
        if self.cores is not None and self.address is not None:
            came = "both --cores and --address"
            raise UserError("cores of this machine, or a cluster", came, "say it to ray start --num-cpus")

    def _rows(self) -> list[Row] | None:
        """The rows; None where some are wrong, which is said."""
        from gaussavatar.batch.jobs import read_jobs

        rows, wrong = read_jobs(self.jobs, verb_options(), self.base or os.getcwd(), Checked())
        return None if said(wrong) else rows

    def _units(self, rows: Sequence[Row], folder: Path, *, keep: bool) -> list[Unit] | None:
        from gaussavatar.batch.costs import scene_seconds
        from gaussavatar.batch.digests import open_digests
        from gaussavatar.batch.plan import make_plan

        with open_digests(folder, keep=keep) as known:
            units, wrong = make_plan(rows, scene_seconds(), known)
        return None if said(wrong) else units

    def _told(self, rows: Sequence[Row], folder: Path) -> int:
        from gaussavatar.batch.told import plan_lines

        units = self._units(rows, folder, keep=False)
        if units is None:
            return EXIT_USER_ERROR
        for line in plan_lines(units, folder, self.cores, cluster=self.address is not None, replace=self.replace):
            say(line)
        return 0

    def _driven(self, units: Sequence[Unit], journal: Journal, folder: Path) -> int:
        from gaussavatar.batch.drive import Wishes, drive, open_course, rows_by_state
        from gaussavatar.batch.engine import ray_engine
        from gaussavatar.batch.page import NAME
        from gaussavatar.batch.plan import uses_paths
        from gaussavatar.batch.store import exists

        seen = str((folder / "journal.jsonl").resolve()) if any(map(uses_paths, units)) else None
        work = None if self.work is None else str(self.work.resolve())
        course = open_course(units, journal, Wishes(self.retries, work, seen), folder / "logs", exists)
        self._require_new(course)
        with _page(folder / NAME, course, self.jobs.name) as show:
            if not course.over():
                with ray_engine(self.address, self.cores) as engine:
                    engine.require_nodes(seen)
                    drive(course, engine, show)
        counts = rows_by_state(course.states())
        failed = counts.get("failed", 0) + counts.get("skipped", 0)
        for each in course.units.values():
            if each.state == "failed":
                log = shown(course.logs / f"{each.unit.row.name}.log")
                complain_of(f"{each.unit.name}: {each.line.removeprefix('error: ')} (log: {log})")
        say(f"done: {counts.get('done', 0)} of {sum(counts.values())} rows")
        say(f"page: {shown(folder / NAME)}")
        return EXIT_FAILED + min(failed, MOST_FAILED) if failed else 0

    def _require_new(self, course: Course) -> None:
        """Refuse to overwrite what another made.

        Raises:
            UserError: something is at the place of an output.
        """
        if self.replace:
            return
        from gaussavatar.batch.drive import foreign

        there = foreign(course)
        if there:
            row, place = there[0]
            more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
            came = f"{place}, which this batch did not make{more}"
            raise UserError(f"{row.where}: a new file to write", came, "name another out, or add --replace")


@contextlib.contextmanager
def _page(path: Path, course: Course, title: str) -> Iterator[Any]:
    """Shows a course in the terminal and on its page, which says at the end, however it comes, that it is over."""
    import time

    from gaussavatar.batch.page import write_batch_page
    from gaussavatar.batch.table import shown as in_terminal

    last = 0.0
    try:
        with in_terminal() as show:

            def both(course: Course, ended: bool) -> None:
                nonlocal last
                show(course, ended)
                if time.monotonic() - last > 3:
                    write_batch_page(path, course, title, running=True)
                    last = time.monotonic()

            yield both
    finally:
        write_batch_page(path, course, title, running=False)


def said(wrong: Sequence[UserError]) -> bool:
    """Say each mistake in a line; whether there were any."""
    for mistake in wrong:
        complain(mistake)
    return bool(wrong)


def complain_of(line: str) -> None:
    """Say in a line what became of a row."""
    import sys

    sys.stderr.write(f"error: {line}\n")


def verb_options() -> Verbs:
    """What rows may say: the options of the verbs, as their command lines have them."""
    return {name: dict(_options(command)) for name, command in COMMANDS.items()}


def _options(command: type) -> Iterator[tuple[str, Option]]:
    from gaussavatar.batch.jobs import Option

    hints = get_type_hints(command, include_extras=True)
    for one in fields(command):
        hint, name = hints[one.name], one.name
        extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        positional = "Positional" in repr(extras)
        plain = get_args(hint)[0] if extras else hint
        if is_dataclass(plain):
            yield from _options(plain)  # type: ignore[arg-type]
            continue
        name = next((each.name for each in extras if getattr(each, "name", None)), name)
        kinds = [each for each in _members(plain) if each is not type(None)]
        many = any(get_origin(each) is tuple for each in kinds)
        paths = any(Path in (each, *get_args(each)) for each in kinds)
        place = "write" if name in WRITES else "read" if paths else "maybe" if name in WORD_OR_FILE else None
        if name == "head" and command.__name__ == "Fit":
            place = None
        yield name, Option("flag" if plain is bool else "many" if many else "one", place, positional)


def _members(plain: Any) -> tuple[Any, ...]:
    union = get_origin(plain) in (typing.Union, types.UnionType)
    return get_args(plain) if union else (plain,)


class Checked:
    """Says what a verb's own command line would; words that differ in places alone are looked at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], UserError | None] = {}

    def __call__(self, verb: str, words: Sequence[str]) -> UserError | None:
        """What is wrong with the words after the verb; None where nothing is."""
        alike = [_without_place(word) for word in words]
        key = (verb, *alike)
        if key not in self._known:
            self._known[key] = _mistake(verb, alike)
        return self._known[key]


def _without_place(word: str) -> str:
    flag, equals, value = word.rpartition("=")
    return f"{flag}{equals}/x" if value.startswith("/") or "://" in value else word


def _mistake(verb: str, words: Sequence[str]) -> UserError | None:
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            parsed([verb, *words], COMMANDS)
    except SystemExit:
        letters = "".join(sign if sign.isprintable() and sign not in "│╭╮╰╯─" else " " for sign in told.getvalue())
        return UserError(f"options of gaussavatar {verb}", " ".join(letters.split())[:300], "correct the row")
    return None
