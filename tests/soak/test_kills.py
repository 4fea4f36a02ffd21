"""Ten of the kills of ``python -m tests.soak.kills``, forked from one process that has imported the program."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.commands import EXPORTS, INSTALL
from tests.soak.kills import run
from tests.soak.powercut import cut_power, states
from tests.soak.process import Nursery


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with contextlib.closing(Nursery()) as opened:
        yield opened


def test_after_ten_kills_the_same_command_comes_to_the_same_bytes(nursery: Nursery, tmp_path: Path) -> None:
    rows = run(10, 5, (EXPORTS[0], INSTALL), tmp_path, nursery)
    assert len(rows) == 10 and not [str(row) for row in rows if row.faults]


def test_a_power_cut_takes_what_was_not_brought_to_the_disk(tmp_path: Path) -> None:
    root, shadow, journal = tmp_path / "root", tmp_path / "shadow", tmp_path / "journal"
    root.mkdir()
    shadow.mkdir()
    (root / "old").write_text("old")
    (root / "replaced").write_text("before")
    before = states(root)
    (root / "careless").write_text("new")
    os.link(root / "replaced", shadow / "0")
    (root / ".temporary").write_text("after")
    os.replace(root / ".temporary", root / "replaced")
    line = '{"op": "name", "source": "%s", "path": "%s", "shadow": "0"}\n'
    journal.write_text(line % (root / ".temporary", root / "replaced"))
    assert cut_power(root, journal, shadow, before, names_lost=True) == 2
    assert {path.name: path.read_text() for path in root.iterdir()} == {
        "old": "old",
        "replaced": "before",
        "careless": "",
    }
