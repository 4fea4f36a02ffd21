"""Ray nodes of this machine that can be killed, and batches that run on them."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 120
"""Seconds after which something counts as stuck."""

TOKEN = secrets.token_hex(32)


def wait_for(what: Callable[[], object], said: Callable[[], str] = str, patience: float = PATIENCE) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not what():
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


def environment(**more: str) -> dict[str, str]:
    """What every process of a test finds."""
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    door = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    found = {
        **os.environ,
        "PYTHONPATH": path,
        **door,
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_worker_niceness": "0",
        **more,
    }
    # Without bytecode every one of Ray's processes compiles all that it imports.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


@dataclass
class Node:
    """A Ray node: all of its processes are of one session."""

    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it as a power cut would: its raylet first, then all that it started."""
        for pid in descendants(self.process.pid):
            _kill(pid)
        _kill(self.process.pid)
        self.process.wait()


def descendants(pid: int) -> list[int]:
    """All processes below one, those nearest first; the batch's own commands are left to end by themselves."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        children = [each for each in parents.get(todo.pop(0), []) if not _is_kept(each)]
        found += children
        todo += children
    return found


def _is_kept(pid: int) -> bool:
    try:
        return b"keeper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def cluster(nodes: int = 2, **more: str) -> Iterator[tuple[str, list[Node]]]:
    """A cluster of nodes of one core each on loopback: its address, and the nodes, the head first."""
    port, started = free_port(), []
    shared = ["--num-cpus=1", "--disable-usage-stats", "--object-store-memory=80000000", "--block"]
    head = ["--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false"]
    try:
        for number in range(nodes):
            words = head if number == 0 else [f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.1"]
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, *shared]
            silent = subprocess.DEVNULL
            started.append(Node(subprocess.Popen(command, env=environment(**more), stdout=silent, stderr=silent)))
            if number == 0:
                wait_for(lambda: _answers(port))
        yield f"127.0.0.1:{port}", started
    finally:
        for node in reversed(started):
            node.kill()


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Run:
    """A ``gaussavatar batch`` at work."""

    process: subprocess.Popen[str]
    folder: Path

    def journal(self) -> list[dict]:
        """The lines of its journal."""
        path = self.folder / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def done(self) -> list[str]:
        """Units that ended well, in their order."""
        return [line["done"] for line in self.journal() if "done" in line] if self.folder.exists() else []

    def workers(self) -> dict[str, int]:
        """The process that the last attempt at each unit runs in."""
        found = {}
        for log in sorted((self.folder / "logs").glob("*.log")):
            for line in log.read_text().splitlines():
                if line.startswith("--- ") and ", attempt " in line:
                    found[line[4:].split(",")[0]] = int(line.rpartition(":")[2])
        return found

    def running(self) -> dict[str, int]:
        """The same of those that have not ended."""
        done = self.done()
        return {unit: pid for unit, pid in self.workers().items() if unit not in done}

    def ready(self) -> dict[str, int]:
        """The same; fails where the batch has ended."""
        assert self.process.poll() is None, self.ended()
        return self.running()

    def ended(self) -> tuple[int, str]:
        """Its exit code and all that it said."""
        told = self.process.communicate(timeout=15 * PATIENCE)[0]
        return self.process.returncode, told


def start(jobs: Path, *words: str, **more: str) -> Run:
    """Start a batch beside its jobs."""
    command = [sys.executable, "-m", "gaussavatar.cli", "batch", jobs.name, *words]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=jobs.parent, env=environment(**more), **piped)
    return Run(process, jobs.parent / f"{jobs.stem}-batch")


def at_work(folder: Path) -> list[str]:
    """Command lines of the rows of a folder that are being run."""
    found = []
    for name in os.listdir("/proc"):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if "gaussavatar.cli" in words and "batch" not in words and any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found
