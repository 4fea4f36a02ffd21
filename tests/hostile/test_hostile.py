"""Avatars, .gsa files, motion, presets and recipes that a stranger made: each is refused in one line, or used well.

Every case is read by a process of its own with two seconds and 500 MB; reading that breaks shows its traceback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import avatars, files
from tests.hostile.cases import CASES

Judge = Callable[[str, Path], dict[str, Any]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.hostile.judge", str(avatars.good_avatar())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as reader:

        def ask(kind: str, path: Path) -> dict[str, Any]:
            print(kind, path, file=reader.stdin, flush=True)
            return json.loads(reader.stdout.readline())

        yield ask
        reader.stdin.close()


def test_what_is_good_is_used(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "good.gsa"
    path.write_bytes(files.good_gsa())
    assert judge("avatar", avatars.good_avatar())["came"] == judge("gsa", path)["came"] == "used"
    assert judge("motion", files.motion_with()(tmp_path))["came"] == "used"


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_line_or_used_well(name: str, judge: Judge, tmp_path: Path) -> None:
    case = CASES[name]
    folder = tmp_path / "case"
    folder.mkdir()
    told = judge(case.kind, case.make(folder))
    assert told["came"] == "refused" or (told["came"] == "used" and case.must == "either"), told
    if told["came"] == "refused":
        said = told["said"]
        assert said.startswith("expected ") and len(said) < 2500 and said.isprintable(), said
        assert told["cpu"] < 2, told
    assert not list(tmp_path.rglob("canary"))


def test_there_are_enough_of_them() -> None:
    least = {"avatar": 250, "gsa": 80, "motion": 60, "presets": 7, "recipe": 50}
    assert all(sum(case.kind == kind for case in CASES.values()) >= count for kind, count in least.items())
