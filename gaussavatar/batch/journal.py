"""What a batch has done: lines that only grow, so that a driver that is killed at any moment goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from gaussavatar.errors import UserError
from gaussavatar.locks import locked_elsewhere
from gaussavatar.storage import explain_os_error

NAME = "journal.jsonl"


@dataclass(frozen=True)
class Done:
    """A unit that ended well, and what it took."""

    key: str
    """Hash of all that it depended on."""
    seconds: float
    cpu: float
    """Seconds of all its processes."""
    peak: int
    """Bytes of memory that they had at most."""
    node: str
    attempt: int
    kind: str
    """What its needs are learned for."""


@dataclass
class Journal:
    """The journal of one batch, held by one driver."""

    file: TextIO
    done: dict[str, Done] = field(default_factory=dict)
    """The last success of each unit, by name."""
    made: set[str] = field(default_factory=set)
    """Places that this batch has begun to write, in whatever run."""

    def began(self, unit: str, writes: tuple[str, ...]) -> None:
        """Write down that a unit begins to write its outputs."""
        if not set(writes) <= self.made:
            self.made.update(writes)
            self._add({"began": unit, "writes": list(writes)})

    def ended(self, unit: str, done: Done) -> None:
        """Write down that a unit ended well; once this returns it is never done again."""
        self.done[unit] = done
        self._add({"done": unit, **asdict(done)})

    def _add(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """The journal in a folder, which this process alone holds within the block.

    Raises:
        UserError: another driver holds it, it is damaged, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise explain_os_error(error, folder) from error
    with file:
        if locked_elsewhere(file.fileno()):
            do = "wait for it, or name another --out"
            raise UserError(f"{folder} to be free", "another gaussavatar batch at work with it", do)
        yield read_journal(folder, file)


def read_journal(folder: Path, file: TextIO) -> Journal:
    """What a journal's lines say; a last line that a kill cut off is taken away.

    Raises:
        UserError: a line is none of a journal.
    """
    journal = Journal(file)
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind("\n") + 1]
    if len(whole) < len(text):
        file.truncate(len(whole.encode()))
        file.seek(0, os.SEEK_END)
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            plain = json.loads(line)
            if "began" in plain:
                journal.made.update(map(str, plain["writes"]))
            else:
                name = str(plain.pop("done"))
                journal.done[name] = Done(**plain)
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
            came = f"line {number}, which is damaged"
            raise UserError(f"a batch's journal in {folder / NAME}", came, "remove that line") from error
    return journal
