from __future__ import annotations

from pathlib import Path

import pytest

from gaussavatar.batch.journal import NAME, Done, open_journal
from gaussavatar.errors import UserError

DONE = Done("k1", 2.5, 2.0, 1 << 20, "vm:1", 1, "fit 256")


def test_what_was_done_is_known_again(tmp_path: Path) -> None:
    with open_journal(tmp_path / "b") as journal:
        journal.began("a", ("/x/a",))
        journal.ended("a", DONE)
    with open_journal(tmp_path / "b") as journal:
        assert journal.done == {"a": DONE} and journal.made == {"/x/a"}


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_a_kill_cut_off_is_none(tmp_path: Path, cut: int) -> None:
    with open_journal(tmp_path) as journal:
        journal.ended("a", DONE)
        journal.ended("b", DONE)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    with open_journal(tmp_path) as journal:
        assert set(journal.done) == {"a"}
        journal.ended("c", DONE)
    with open_journal(tmp_path) as journal:
        assert set(journal.done) == {"a", "c"}


def test_two_drivers_never_hold_one(tmp_path: Path) -> None:
    with open_journal(tmp_path), pytest.raises(UserError, match="another gaussavatar batch"):
        with open_journal(tmp_path):
            pass


@pytest.mark.parametrize("line", ["[]", "{}", "5", '{"done": "a"}', '{"began": 1, "writes": 2}', "x"])
def test_a_damaged_journal_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / NAME).write_text(line + "\n")
    with pytest.raises(UserError, match="line 1"), open_journal(tmp_path):
        pass
