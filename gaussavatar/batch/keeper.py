"""Keeps one command: started by a worker, it ends with that worker, whatever becomes of it, and within its memory.

Run as a program, with the standard library alone: ``keeper.py USAGE LOG BYTES COMMAND...``. It reads its standard
input, which the worker holds open: at its end the command and all that it started are ended, politely first. What they
took is written to ``USAGE`` as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time

LOOK = 0.25
"""Seconds between two looks at the command."""

MEASURE = 1.0
"""Seconds between two looks at its memory."""

PATIENCE = 5.0
"""Seconds that it has to tidy up."""

IGNORED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The worker's end is seen at standard input; a signal to the whole group must not end the keeper first."""

_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of Linux."""


def members(session: int) -> list[int]:
    """Processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The name of the program, in brackets, may hold anything.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                found.append(int(name))
    return found


def memory(session: int) -> int:
    """Bytes that the processes of a session have, shared pages in parts."""
    total = 0
    for pid in members(session):
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) * 1024
        except OSError:
            continue
    return total


def end(session: int, number: int) -> None:
    """Send a signal to all processes of a session, those in groups of their own included."""
    for pid in members(session):
        try:
            os.kill(pid, number)
        except OSError:
            continue


def keep(usage: str, log: str, limit: int, command: list[str]) -> int:
    """Run a command to its end.

    Args:
        usage: file for what it took.
        log: file that its output goes to.
        limit: bytes of memory that it may have; 0 for any.
        command: the words.

    Returns:
        Its exit code; 128 and the signal's number where one ended it.
    """
    libc, began, own = ctypes.CDLL(None), time.monotonic(), os.getpid()

    def before() -> None:
        os.setsid()
        libc.prctl(_DEATH_SIGNAL, signal.SIGKILL)
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        if os.getppid() != own:
            os._exit(1)

    with open(log, "ab", buffering=0) as file:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, preexec_fn=before)
    peak, measured, ended_by, asked = 0, 0.0, "", None
    while child.poll() is None:
        now = time.monotonic()
        if asked is None and select.select([0], [], [], LOOK)[0] and not os.read(0, 1):
            ended_by, asked = "worker", now
            end(child.pid, signal.SIGTERM)
        elif asked is not None:
            time.sleep(LOOK)
        if now - measured > MEASURE:
            measured, has = now, memory(child.pid)
            peak = max(peak, has)
            if limit and has > limit and not ended_by:
                ended_by, asked = "memory", now - PATIENCE
        if asked is not None and now - asked >= PATIENCE:
            end(child.pid, signal.SIGKILL)
    end(child.pid, signal.SIGKILL)
    times, code = os.times(), child.returncode
    facts = {
        "code": code if code >= 0 else 128 - code,
        "signal": max(0, -code),
        "ended_by": ended_by,
        "seconds": round(time.monotonic() - began, 2),
        "cpu": round(times.children_user + times.children_system, 2),
        "peak": peak,
    }
    with open(usage + ".new", "w") as file:
        json.dump(facts, file)
    os.replace(usage + ".new", usage)
    return facts["code"]


if __name__ == "__main__":
    for each in IGNORED:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(keep(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
