"""The file of a batch: rows of ``fit``, ``speak``, ``evaluate`` and ``export``, checked before anything starts.

A row is a command: its columns are the options of that verb, under their names. What a row reads and another writes
makes it wait for that one; nothing else has to be said.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gaussavatar.batch.places import located, name_of
from gaussavatar.errors import UserError
from gaussavatar.storage import require_plain

VERBS = ("fit", "speak", "evaluate", "export")
"""What a row can be."""

REPORT = "report"
"""What ``evaluate`` writes in an avatar's folder."""

LARGEST = 64 << 20
"""Bytes of a file of jobs."""

_WORDS = {"background": ("plate", "none"), "head": ("recorded", "still", "generated")}
"""Options that are a file where they are none of these words."""


@dataclass(frozen=True)
class Option:
    """An option of a verb, as the command line has it."""

    kind: Literal["flag", "one", "many"]
    place: Literal["read", "write", "maybe"] | None = None
    """Whether it is a place that is read or written; ``maybe``: a word or a file that is read."""
    positional: bool = False


Verbs = Mapping[str, Mapping[str, Option]]
"""Options by verb and name."""

Check = Callable[[str, Sequence[str]], UserError | None]
"""What is wrong with the words of a verb, as its command line would say; None where nothing is."""


@dataclass(frozen=True)
class Row:
    """A command of the batch; every place in it is an absolute path or an address."""

    name: str
    where: str
    """Where it stands, for messages."""
    verb: str
    values: Mapping[str, tuple[str, ...] | bool]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    """What it makes; the first is what it is for."""
    options: Mapping[str, Option]

    @property
    def out(self) -> str:
        """What it is for."""
        return self.writes[0]

    def value(self, name: str) -> str | None:
        """An option that was given once; None without."""
        given = self.values.get(name)
        return given[0] if isinstance(given, tuple) and given else None

    def words(self, here: Mapping[str, str] | None = None, without: Sequence[str] = ()) -> list[str]:
        """The command line after ``gaussavatar``.

        Args:
            here: paths on this machine by place; places that are not in it stay as they are.
            without: options that are left out.
        """
        here, first, words = here or {}, [], []
        for name, given in self.values.items():
            option, flag = self.options[name], f"--{name.replace('_', '-')}"
            if name in without or given is False:
                continue
            if given is True:
                words.append(flag)
                continue
            assert isinstance(given, tuple)
            shown = [here.get(value, value) for value in given]
            if option.positional:
                first += shown
            else:
                words += [f"{flag}={shown[0]}"] if option.kind == "one" else [flag, *shown]
        return [self.verb, *first, *words]


def read_jobs(path: Path, verbs: Verbs, base: str, check: Check) -> tuple[list[Row], list[UserError]]:
    """The rows of a file, and what is wrong with some of them.

    Args:
        path: ``.csv`` with a header, or ``.yaml``: a list of rows, or ``rows:`` with ``defaults:`` by verb.
        verbs: the options that a row may have.
        base: what relative places stand below.
        check: looks at a row's words.

    Returns:
        The rows that are right, and a line for each that is not.

    Raises:
        UserError: the file as a whole cannot be read, or has no row.
    """
    if not path.exists():
        raise UserError(f"a file of jobs at {path}", "no such file", "check the path")
    require_plain(path, LARGEST)
    read = {".csv": _csv_rows, ".yaml": _yaml_rows, ".yml": _yaml_rows}.get(path.suffix.lower())
    if read is None:
        raise UserError("a file of jobs that ends in .csv or .yaml", path.name, "name it so")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"text in UTF-8 in {path}", "other bytes", "save it as UTF-8") from error
    given = read(text, path)
    if not given:
        raise UserError(f"rows in {path}", "none", "write one for each fit, speak, evaluate or export")
    rows, wrong, names = [], [], Counter[str]()
    for where, plain in given:
        try:
            row = _row(plain, f"{where} of {path.name}", verbs, base, names)
            mistake = check(row.verb, row.words()[1:])
            if mistake is not None:
                raise UserError(f"{row.where}: {mistake.expected}", mistake.came, mistake.do)
            rows.append(row)
        except UserError as error:
            wrong.append(error)
    return rows, [*wrong, *clashes(rows)]


def clashes(rows: Sequence[Row]) -> list[UserError]:
    """Outputs that two rows would write, one inside the other included, and rows that overwrite what they read."""
    wrong: list[UserError] = []
    writers: dict[str, Row] = {}
    for row in rows:
        for place in row.writes:
            if place in writers:
                wrong.append(_clash(row, place, f"which {writers[place].where} writes"))
            elif place in row.reads:
                wrong.append(_clash(row, place, "which it reads"))
            writers.setdefault(place, row)
    for place, row in writers.items():
        for parent in _with_parents(place)[1:]:
            other = writers.get(parent, row)
            if other is not row and not _adds_to(row, other):
                wrong.append(_clash(row, place, f"which lies in what {other.where} writes"))
    return wrong


def _clash(row: Row, place: str, why: str) -> UserError:
    return UserError(f"{row.where}: an output of its own", f"{place}, {why}", "name another one")


def _with_parents(place: str) -> list[str]:
    parts = place.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _adds_to(row: Row, other: Row) -> bool:
    """Whether a row may write into what another made: an evaluation, into the avatar that it is about."""
    return row.verb == "evaluate" and other.verb == "fit" and row.value("avatar") == other.out


def _row(plain: Any, where: str, verbs: Verbs, base: str, names: Counter[str]) -> Row:
    if not isinstance(plain, Mapping):
        raise UserError(f"{where}: options by name", type(plain).__name__, "write verb: fit, video: FILE and so on")
    given = {str(key).strip().replace("-", "_"): value for key, value in plain.items()}
    verb = str(given.pop("verb", "")).strip()
    if verb not in VERBS:
        raise UserError(f"{where}: a verb: {', '.join(VERBS)}", repr(verb), "name one of these in verb")
    name, options = given.pop("name", None), verbs[verb]
    values: dict[str, tuple[str, ...] | bool] = {}
    for key, value in given.items():
        if value is None or value == "" or value == []:
            continue
        if key not in options:
            known = ", ".join(options)
            raise UserError(f"{where}: an option of {verb}: {known}", repr(key), "correct the name, or leave it out")
        values[key] = _value(value, options[key], key, where, base)
    _fill(verb, values, where, base)
    reads, writes = _places(values, options, "read"), _places(values, options, "write")
    writes = [values["out"][0], *writes] if "out" in values else writes  # type: ignore[index]
    if verb == "evaluate":
        writes = [f"{values['avatar'][0]}/{REPORT}", *writes]  # type: ignore[index]
    plain_name = str(name) if name else f"{verb}-{name_of(writes[0] if verb != 'evaluate' else reads[0])}"
    plain_name = (
        "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in plain_name)[:100].strip(".") or verb
    )
    names[plain_name] += 1
    unique = plain_name if names[plain_name] == 1 else f"{plain_name}-{names[plain_name]}"
    if name and names[plain_name] > 1:
        raise UserError(f"{where}: a name of its own", repr(str(name)), "give every row another name, or none")
    return Row(unique, where, verb, values, tuple(reads), tuple(dict.fromkeys(writes)), options)


def _value(value: Any, option: Option, key: str, where: str, base: str) -> tuple[str, ...] | bool:
    if option.kind == "flag":
        text = str(value).strip().lower()
        if text not in ("true", "yes", "1", "false", "no", "0"):
            raise UserError(f"{where}: true or false for {key}", repr(value), "write one of these")
        return text in ("true", "yes", "1")
    if isinstance(value, Mapping) or (
        isinstance(value, Sequence) and option.kind == "one" and not isinstance(value, str)
    ):
        raise UserError(f"{where}: one value for {key}", repr(value)[:60], "write a word or a number")
    words = _words(value, key, where) if option.kind == "many" else [str(value).strip()]
    if key == "audio" and len(words) != 1:
        raise UserError(f"{where}: one sound for audio", f"{len(words)}", "write a row for each sound")
    if option.place == "maybe" and (words[0] in _WORDS.get(key, ()) or words[0].startswith("#")):
        return tuple(words)
    return tuple(located(word, base, where) for word in words) if option.place else tuple(words)


def _words(value: Any, key: str, where: str) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    if key in ("audio", "voices"):
        return [str(value).strip()]
    try:
        return shlex.split(str(value))
    except ValueError as error:
        raise UserError(f"{where}: words for {key}", f"{value!r} ({error})", "close the quotes") from error


def _fill(verb: str, values: dict[str, Any], where: str, base: str) -> None:
    """What the command line would find by itself and a batch has to know before."""
    if verb == "fit":
        if "video" not in values:
            raise UserError(f"{where}: a video to fit", "none", "name it in video")
        values.setdefault("out", (located(f"avatars/{name_of(values['video'][0])}", base, where),))
        return
    if "avatar" not in values:
        raise UserError(f"{where}: an avatar", "none", "name its folder, or the out of a fit of this batch, in avatar")
    if verb == "speak":
        if "part" in values:
            raise UserError(f"{where}: no part", values["part"][0], "leave it out: long sounds are cut by themselves")
        said = next((values[key][0] for key in ("video", "audio", "motion") if key in values), None)
        if said is None and "text" not in values:
            raise UserError(f"{where}: something to say", "none of audio, text, motion and video", "name one of them")
        if "out" not in values:
            if said is None:
                raise UserError(f"{where}: a file for what is said of a text", "none", "name it in out")
            ending = ".mov" if values.get("background") == ("none",) else ".mp4"
            named = f"{name_of(values['avatar'][0])}-{name_of(said)}{ending}"
            values["out"] = (located(named, base, where),)
    elif verb == "export" and "out" not in values:
        raise UserError(f"{where}: a file or folder to export to", "none", "name it in out")


def _places(values: Mapping[str, Any], options: Mapping[str, Option], kind: str) -> list[str]:
    found = []
    for name, given in values.items():
        place = options[name].place
        if kind == "read" and place == "maybe" and not _is_place(given[0]):
            continue
        if place == kind or (kind == "read" and place == "maybe"):
            found += given
    return found


def _is_place(value: str) -> bool:
    return value.startswith("/") or "://" in value


def _csv_rows(text: str, path: Path) -> list[tuple[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise UserError(f"a table in {path}", f"a damaged one ({error})", "save it as CSV with commas") from error
    found = []
    for number, row in enumerate(rows, 2):
        if None in row:
            raise UserError(f"as many cells as columns in line {number} of {path.name}", "more", "quote commas")
        if any(row.values()):
            found.append((f"line {number}", row))
    return found


def _yaml_rows(text: str, path: Path) -> list[tuple[str, Any]]:
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        # Aliases could stand for any number of rows, and no file of jobs needs one.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader)):
            raise UserError(f"plain rows in {path}", "an alias (*)", "write the values out")
        plain = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        came = " ".join(str(error).split())[:200]
        raise UserError(f"YAML in {path}", came, "mend it there") from error
    defaults: Any = {}
    if isinstance(plain, Mapping):
        unknown = set(plain) - {"rows", "defaults"}
        if unknown:
            came = ", ".join(sorted(map(str, unknown)))
            raise UserError(f"rows and defaults in {path}", came, "move it into a row")
        plain, defaults = plain.get("rows"), plain.get("defaults") or {}
    if not isinstance(plain, list) or not isinstance(defaults, Mapping):
        raise UserError(f"a list of rows in {path}", type(plain).__name__, "begin every row with '- verb: ...'")
    strange = set(defaults) - set(VERBS)
    if strange:
        raise UserError(f"defaults by verb in {path}", ", ".join(sorted(map(str, strange))), "name a verb")
    found = []
    for number, row in enumerate(plain, 1):
        common = defaults.get(row.get("verb")) if isinstance(row, Mapping) else None
        found.append((f"row {number}", {**(common or {}), **row} if isinstance(row, Mapping) else row))
    return found


def waits_for(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """The rows that each row waits for, by name: those that write what it reads.

    Raises:
        UserError: rows wait for each other.
    """
    writers = {place: row for row in rows for place in row.writes}
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        makers = [writers[part] for place in row.reads for part in _with_parents(place) if part in writers]
        found[row.name] = tuple(dict.fromkeys(each.name for each in makers if each.name != row.name))
    _require_order(found)
    return found


def _require_order(waits: Mapping[str, Sequence[str]]) -> None:
    left = {name: set(others) for name, others in waits.items()}
    while left:
        free = [name for name, others in left.items() if not others & left.keys()]
        if not free:
            raise UserError("rows that can be done one after the other", f"a circle: {', '.join(sorted(left)[:6])}",
                            "let none of them read what comes from itself")  # fmt: skip
        for name in free:
            del left[name]
