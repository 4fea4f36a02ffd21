"""The command in the middle of a recording: what is left of it when it is killed, and when it is asked to end."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from websockets.sync.client import connect

from gaussavatar.media.probe import probe
from tests.live.conftest import PATIENCE, free, speech

SAID = 2.0
"""Seconds of speech that are heard before the end comes."""


class Command:
    """``gaussavatar live --record``, and what it prints."""

    def __init__(self, avatar: Path, record: Path) -> None:
        self.port, self.lines = free(), queue.SimpleQueue[str]()
        words = ["live", avatar, "--port", self.port, "--no-open-browser", "--record", record, "--size", 64]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gaussavatar.cli", *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip())
        self.lines.put("")

    def until(self, begin: str) -> list[str]:
        """What is printed, up to a line that begins so; "" is the end of all."""
        told: list[str] = []
        while not told or (not told[-1].startswith(begin) if begin else told[-1] != ""):
            told.append(self.lines.get(timeout=10 * PATIENCE))
            assert told[-1] or not begin, told
        return told

    def ended_while_speaking(self, number: int) -> list[str]:
        """Send a signal in the middle of a sentence; the last lines."""
        with connect(f"ws://127.0.0.1:{self.port}/feed?session=s") as socket:
            socket.send(json.dumps({"kind": "hello", "rate": 16_000}))
            socket.send(speech(5 * SAID).tobytes())
            while json.loads(socket.recv(timeout=10 * PATIENCE)).get("event") != "start":
                pass
            threading.Event().wait(SAID)
            self.process.send_signal(number)
            self.process.wait(10 * PATIENCE)
        return self.until("")


def test_a_recording_outlives_the_end_of_its_server(toy_avatar: Path, tmp_path: Path) -> None:
    record = tmp_path / "given.mp4"
    killed = Command(toy_avatar, record)
    killed.until("live: ")
    assert killed.ended_while_speaking(signal.SIGKILL) == [""]
    assert killed.process.returncode == -signal.SIGKILL and not record.exists()

    ended = Command(toy_avatar, record)
    before = ended.until("live: ")
    saved = tmp_path / "given-recovered.mp4"
    assert before[0].startswith(f"recovered: {saved}, ") and probe(saved).seconds == pytest.approx(SAID, abs=1.9)
    assert ended.ended_while_speaking(signal.SIGTERM) == [f"recorded: {record}", "live closed", ""]
    assert ended.process.returncode == 0 and probe(record).seconds > SAID
    assert sorted(tmp_path.iterdir()) == [saved, record]
