"""A run of the program that is watched and can be stopped at a moment: started anew, or forked from one that waits."""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.soak.commands import Command

REPOSITORY = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")

PATIENCE = 300
"""Seconds after which a run counts as stuck."""


@dataclass(frozen=True)
class Moment:
    """Before operation number ``operation``, or after ``cpu`` seconds of CPU."""

    operation: int = -1
    cpu: float = 0.0

    def __str__(self) -> str:
        return f"operation {self.operation}" if self.operation >= 0 else f"{self.cpu:.1f} s of CPU"

    def earlier(self) -> Moment:
        """A moment for a run that ended before this one."""
        return Moment(self.operation // 2 if self.operation >= 0 else -1, self.cpu / 2)


class Started(Protocol):
    """A process at work."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code; None while it works."""
        ...

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended."""
        ...


class Launcher(Protocol):
    """Starts the program."""

    def __call__(self, words: Sequence[str], folder: Path, environment: dict[str, str], said: Path) -> Started:
        """Start it with words, in a folder; what it says goes to the end of a file."""
        ...


def anew(words: Sequence[str], folder: Path, environment: dict[str, str], said: Path) -> Started:
    """A process of its own, as a user starts it."""
    with said.open("a") as streams:
        return subprocess.Popen(
            [sys.executable, str(CHILD), *words], cwd=folder, env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=streams, stderr=streams, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip


class Nursery:
    """Forks the program from a process that has imported all it needs: seconds less for every run."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        # Without a buffer, so that select sees every line that is left.
        self._mother = subprocess.Popen(
            [sys.executable, str(CHILD), "--serve"], env=environment, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, words: Sequence[str], folder: Path, environment: dict[str, str], said: Path) -> Started:
        """Start it with words, in a folder; what it says goes to the end of a file."""
        asked = {"words": list(words), "folder": str(folder), "environment": environment, "said": str(said)}
        self._mother.stdin.write(json.dumps(asked).encode() + b"\n")  # type: ignore[union-attr]
        return Forked(self._mother)

    def close(self) -> None:
        """End the process that waits."""
        self._mother.stdin.close()  # type: ignore[union-attr]
        self._mother.wait(PATIENCE)


class Forked:
    """A process of the :class:`Nursery`."""

    def __init__(self, mother: subprocess.Popen[bytes]) -> None:
        self._mother, self._code = mother, None
        self.pid = int(mother.stdout.readline())  # type: ignore[union-attr]

    def poll(self) -> int | None:
        """Its exit code; None while it works."""
        if self._code is None and select.select([self._mother.stdout], [], [], 0)[0]:
            self._code = int(self._mother.stdout.readline())  # type: ignore[union-attr]
        return self._code

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended."""
        if self._code is None:
            select.select([self._mother.stdout], [], [], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("the program", timeout)
        return code


class Process:
    """The program at work in ``case/root``; second names of its files are in ``case/shadow``."""

    def __init__(self, launch: Launcher, command: Command, inputs: Path, case: Path, stop: int = -1) -> None:
        self.root, self.shadow = case / "root", case / "shadow"
        for folder in (self.root / "tmp", self.shadow):
            folder.mkdir(parents=True, exist_ok=True)
        for path in self.shadow.iterdir():
            path.unlink()
        # What is told has to find room where the disk of the case is full.
        self._aside = tempfile.TemporaryDirectory(prefix="kills-")
        aside = Path(self._aside.name)
        self.journal, self._said = aside / "journal", aside / "said"
        self.journal.touch()
        self._said.touch()
        ask, answer = aside / "ask", aside / "answer"
        self._begun = aside / "begun"
        os.mkfifo(ask)
        os.mkfifo(answer)
        self._ask, self._answer = os.open(ask, os.O_RDWR | os.O_NONBLOCK), os.open(answer, os.O_RDWR)
        words = [word.replace("INPUT", str(inputs)) for word in command.words]
        environment = {
            "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "TMPDIR": str(self.root / "tmp"),
            "XDG_DATA_HOME": str(self.root / "data"), "KILLS_ROOT": str(self.root), "KILLS_JOURNAL": str(self.journal),
            "KILLS_SHADOW": str(self.shadow), "KILLS_STOP": str(stop), "KILLS_ASK": str(ask),
            "KILLS_ANSWER": str(answer), "KILLS_BEGUN": str(self._begun), **command.environment,
        }  # fmt: skip
        if command.given and not (self.root / command.given).exists():
            shutil.copytree(inputs / command.given, self.root / command.given)
        self._until, self._lasting, self._serving = command.until, command.lasting, math.nan
        self._process = launch(words, self.root, environment, self._said)
        self.pid, self.cpu = self._process.pid, 0.0

    def reaches(self, moment: Moment) -> bool:
        """Wait for a moment; False where the program ends before it."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            self.cpu = max(self.cpu, cpu_seconds(self.pid))
            if self._is_asked() if moment.operation >= 0 else self.cpu >= moment.cpu and self._begun.exists():
                return True
            self._end_serving()
            time.sleep(0.002)
        return False

    def _end_serving(self) -> None:
        """Ctrl-C for a server that has served for as long as it should."""
        if self._until and math.isnan(self._serving) and self._until in self._said.read_text(errors="replace"):
            self._serving = time.monotonic()
        if time.monotonic() - self._serving > self._lasting:
            os.kill(self.pid, signal.SIGINT)
            self._until, self._serving = "", math.nan

    def _is_asked(self) -> bool:
        try:
            return os.read(self._ask, 1) == b"?"
        except BlockingIOError:
            return False

    def ends(self) -> tuple[int, str]:
        """Let a waiting program go on; its exit code, and all that it said, once it has ended."""
        os.write(self._answer, b"!")
        try:
            deadline = time.monotonic() + PATIENCE
            while self._until and self._process.poll() is None and time.monotonic() < deadline:
                self._end_serving()
                time.sleep(0.01)
            code = self._process.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            code = self._process.wait(PATIENCE)
        for descriptor in (self._ask, self._answer):
            os.close(descriptor)
        return code, self._said.read_text(errors="replace")


def cpu_seconds(pid: int) -> float:
    """CPU that a process and its ended children have used; 0 where it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
