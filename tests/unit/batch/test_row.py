"""One attempt at a row, as a worker makes it: the user's command in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from gaussavatar.batch.row import Task, attempt, only_attempt
from gaussavatar.batch.store import exists, fetch, put
from tests.unit.speak.conftest import voice

pytestmark = pytest.mark.slow
"""Starts the program some times."""


def task(tmp_path: Path, words: list[str], reads: list[str], writes: list[str], **more: object) -> Task:
    facts = {"part": None, "whole": False, "cores": 1, "memory": 0, "seen": None}
    inputs = tuple((place, "k" if place.endswith("toy") else "") for place in reads)
    return Task(
        "u", 1, "key", words[0], tuple(words), inputs, tuple(writes), work=str(tmp_path / "work"), **facts | more
    )


def test_a_row_of_a_store(toy_avatar: Path, tmp_path: Path) -> None:
    base = f"file://{tmp_path}/bucket"
    soundfile.write(tmp_path / "a.wav", voice(0.5), 16_000)
    put(tmp_path / "a.wav", f"{base}/a.wav")
    put(toy_avatar, f"{base}/toy")
    reads, out = [f"{base}/a.wav", f"{base}/toy"], f"{base}/talks/a.mp4"
    words = ["speak", f"--avatar={reads[1]}", "--audio", reads[0], f"--out={out}"]
    said: list[str] = []
    outcome = attempt(task(tmp_path, words, reads, [out]), said.append)
    assert outcome.end == "done", said
    assert outcome.peak > 100 << 20 and outcome.cpu > 0 and "video: " in "".join(said)
    assert fetch(out, tmp_path / "here").stat().st_size > 1000
    assert not (tmp_path / "work" / "rows" / "key").exists()


def test_a_mistake_is_the_commands_own_line(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    words = ["speak", f"--avatar={tmp_path}", "--audio", f"{tmp_path}/a.wav", f"--out={tmp_path}/a.mp4"]
    outcome = attempt(task(tmp_path, words, [], [f"{tmp_path}/a.mp4"]), lambda text: None)
    assert outcome.end == "failed" and outcome.message.startswith("error: expected an avatar"), outcome
    gone = task(tmp_path, words, [f"file://{tmp_path}/none.wav"], [f"file://{tmp_path}/b/a.mp4"])
    outcome = attempt(gone, lambda text: None)
    assert outcome.end == "failed" and "none.wav" in outcome.message and not exists(f"file://{tmp_path}/b")


def test_a_node_that_does_not_see_the_paths_says_so(tmp_path: Path) -> None:
    outcome = attempt(task(tmp_path, ["speak"], [], ["/x.mp4"], seen=f"{tmp_path}/journal.jsonl"), lambda text: None)
    assert outcome.end == "failed" and "share the folder among all nodes" in outcome.message


def test_two_attempts_never_hold_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaussavatar.batch.row.WAIT", 0.1)
    with only_attempt(tmp_path / "work" / "rows" / "key"):
        outcome = attempt(task(tmp_path, ["speak"], [], ["/x.mp4"]), lambda text: None)
    assert outcome.end == "lost"
