"""Tables as spreadsheets write them: any of their separators, decimal signs, line ends and byte-order marks."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from gaussavatar.errors import UserError

_LARGEST = 2 << 30
_MOST_COLUMNS = 5000
_GREATEST = 1e15
"""No cell is beyond it: frames count to thousands of millions, and nothing else of a motion is large."""
_SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class Table:
    """A header and the rows below it; blank rows are left out."""

    path: Path
    header: tuple[str, ...]
    """Column names, stripped."""
    rows: tuple[tuple[str, ...], ...]
    """Cells as text, as many in each row as there are columns."""
    numbers: tuple[int, ...]
    """Each row's number as the spreadsheet shows it; the header mostly has 1."""

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.header

    def filled(self, name: str) -> Table:
        """The rows that have something in one column."""
        kept = [row for row, text in enumerate(self.texts(name)) if text.strip()]
        rows, numbers = (tuple(values[row] for row in kept) for values in (self.rows, self.numbers))
        return Table(self.path, self.header, rows, numbers)

    def texts(self, name: str) -> list[str]:
        """The cells of one column."""
        index = self.header.index(name)
        return [row[index] for row in self.rows]

    def values(self, names: Sequence[str]) -> Float64[np.ndarray, "n k"]:
        """Some columns as finite numbers.

        Raises:
            UserError: a cell holds none; column, row and what stands there are named.
        """
        places = [self.header.index(name) for name in names]
        picked = [[row[place] for place in places] for row in self.rows]
        try:
            values = np.array(picked, float).reshape(len(picked), len(places))
        except ValueError:
            values = np.array([[self._number(row, name) for name in names] for row in range(len(picked))])
        wrong = np.argwhere(~(np.abs(values) <= _GREATEST))
        if len(wrong):
            row, column = wrong[0].tolist()
            raise self.mistake(row, names[column], "a finite number")
        return values

    def _number(self, row: int, name: str) -> float:
        text = self.rows[row][self.header.index(name)].strip().replace("\N{MINUS SIGN}", "-")
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        try:
            return float(text)
        except ValueError as error:
            raise self.mistake(row, name, "a number") from error

    def mistake(self, row: int, name: str, expected: str, do: str = "mend that cell") -> UserError:
        """The error of one cell; ``row`` counts from 0 below the header."""
        cell = self.rows[row][self.header.index(name)].strip()
        came = f"{cell[:40]!r}" if cell else "an empty cell"
        return UserError(f"{expected} in column {name}, row {self.numbers[row]} of {self.path}", came, do)


def read_table(path: Path) -> Table:
    """Read a table whose first line names the columns.

    Understood are commas, semicolons and tabs; points and commas as decimal signs; UTF-8 and UTF-16 with or without
    a byte-order mark; all line ends; Excel's ``sep=`` line; blank lines and columns.

    Raises:
        UserError: it is no table, a column is named twice, or a row has more cells than there are columns.
    """
    text = _text(path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    skipped = 0
    while skipped < len(lines) and not lines[skipped].strip(",;\t "):
        skipped += 1
    separator = None
    if skipped < len(lines) and lines[skipped].lower().startswith("sep="):
        separator, skipped = lines[skipped][4:5] or ",", skipped + 1
    if skipped >= len(lines):
        raise UserError(f"a table in {path}", "an empty file", "export it again")
    separator = separator or max(_SEPARATORS, key=lines[skipped].count)
    reader = csv.reader(io.StringIO("\n".join(lines[skipped:])), delimiter=separator)
    try:
        listed = [(reader.line_num + skipped, tuple(cells)) for cells in reader]
    except csv.Error as error:
        raise UserError(f"a table in {path}", f"something else ({error})", "export it again as CSV") from error
    header = tuple(cell.strip() for cell in listed[0][1])
    while header and not header[-1]:
        header = header[:-1]
    if len(header) > _MOST_COLUMNS:
        raise UserError(f"at most {_MOST_COLUMNS} columns in {path}", f"{len(header)}", "give another file")
    named = [name for name in header if name]
    twice = sorted(name for name, count in Counter(named).items() if count > 1)
    if twice or not named:
        raise UserError(f"one column of each name in {path}", ", ".join(twice) or "no names", "rename or delete one")
    kept = [(number, cells) for number, cells in listed[1:] if any(cell.strip() for cell in cells)]
    for number, cells in kept:
        if any(cell.strip() for cell in cells[len(header) :]):
            came = f"{len(cells)} in row {number}"
            raise UserError(f"{len(header)} cells in every row of {path}", came, "mend that row")
    width = len(header)
    rows = tuple((*cells[:width], *("",) * (width - len(cells))) for _, cells in kept)
    return Table(path, header, rows, tuple(number for number, _ in kept))


def _text(path: Path) -> str:
    """The file's text.

    Raises:
        UserError: it cannot be read, is too large, or is no text.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(f"a table of at most {_LARGEST >> 30} GiB at {path}", "a larger file", "cut it")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"a table at {path}", str(error.strerror), "give another file") from error
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"text in {path}", "other bytes", "save it as CSV in UTF-8") from error
    if "\0" in text:
        raise UserError(f"text in {path}", "other bytes", "save it as CSV in UTF-8")
    return text
