"""Odd media, drawn by chance: read with the right length, in sync, in the right colours, or refused in one line.

Two hundred of them: ``GAUSSAVATAR_TEST_LONG=1 pytest tests/fuzz``, or ``python -m tests.fuzz.judge --avatar FOLDER``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.cases import draw
from tests.fuzz.judge import judge

READ = {
    4: "odd sides, halved chroma",
    24: "turned, and later than its sound",
    26: "pixels that are not square, in a stream whose sound is late",
    29: "a damaged beginning",
    78: "uneven frames",
    85: "cut short",
    163: "a stream whose sound begins first",
    183: "another ending",
}
"""Cases of seed 0 that are read in every run."""


@pytest.mark.parametrize("number", READ, ids=READ.values())
def test_an_odd_file_is_read_right(number: int, tmp_path: Path) -> None:
    assert judge(draw(number), tmp_path, None, ()) == []


@pytest.mark.parametrize("number", [15, 19])
def test_what_an_odd_file_says_is_spoken_in_time(number: int, tmp_path: Path, toy_avatar: Path) -> None:
    assert judge(draw(number), tmp_path, toy_avatar, ("speak",)) == []


@pytest.mark.long
@pytest.mark.parametrize("number", range(200))
def test_two_hundred_odd_files(number: int, tmp_path: Path, toy_avatar: Path) -> None:
    """Takes minutes: each is read, given to ``track``, in which nobody is seen, and spoken by a small avatar."""
    case = draw(number)
    assert judge(case, tmp_path, toy_avatar) == [], str(case)
