"""How a program is struck at a moment, and what is put right again before the same command runs once more."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MOUNTED = "512m"
"""Size of the small disk, of which only what is written takes memory."""

SPARE = 1 << 20
"""Bytes of address space that are left to a program that runs out of memory."""


@dataclass(frozen=True)
class Way:
    """A way to end.

    Attributes:
        name: in the table.
        strike: does it to a process (id) that works in a folder.
        codes: exit codes that are right for it, besides 0 where the program was past all harm.
        tidy: whether the program can, and so has to, remove what is half written before it ends.
        lift: puts the folder right again.
        powerless: what :func:`tests.soak.powercut.cut_power` is told of names; None where the machine goes on.
    """

    name: str
    strike: Callable[[int, Path], None]
    codes: tuple[int, ...]
    tidy: bool = True
    lift: Callable[[Path], None] = lambda folder: None
    powerless: bool | None = None


def _kill(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGKILL)


def _kill_all(pid: int, folder: Path) -> None:
    os.killpg(pid, signal.SIGKILL)


def _terminate(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGTERM)


def _interrupt(pid: int, folder: Path) -> None:
    """As a terminal does it: to the program and to what it has started."""
    os.killpg(pid, signal.SIGINT)


def _fill_disk(pid: int, folder: Path) -> None:
    if not os.path.ismount(folder):
        # Without a disk of its own: no file can grow any more.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        return
    for _ in range(5):
        stat = os.statvfs(folder)
        used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
        asked = ["mount", "-o", f"remount,size={used + 4096}", str(folder)]
        if subprocess.run(asked, capture_output=True).returncode == 0:
            return


def _empty_disk(folder: Path) -> None:
    if os.path.ismount(folder):
        subprocess.run(["mount", "-o", f"remount,size={MOUNTED}", str(folder)], check=True, capture_output=True)


def _take_memory(pid: int, folder: Path) -> None:
    with suppress(ProcessLookupError, FileNotFoundError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + SPARE
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


WAYS = (
    Way("SIGKILL", _kill, (-signal.SIGKILL,), tidy=False),
    Way("SIGINT", _interrupt, (130,)),
    Way("SIGTERM", _terminate, (143,)),
    Way("power cut, bytes lost", _kill_all, (-signal.SIGKILL,), tidy=False, powerless=False),
    Way("power cut, names lost", _kill_all, (-signal.SIGKILL,), tidy=False, powerless=True),
    Way("full disk", _fill_disk, (2,), lift=_empty_disk),
    Way("no memory", _take_memory, (2, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS), tidy=False),
)


@contextmanager
def own_disk(folder: Path, way: Way) -> Iterator[bool]:
    """Within the block, a folder is a small disk where the way needs one and the system lets it; yields whether."""
    done = way.lift is _empty_disk and os.geteuid() == 0
    if done:
        asked = ["mount", "-t", "tmpfs", "-o", f"size={MOUNTED}", "tmpfs", str(folder)]
        done = subprocess.run(asked, capture_output=True).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)
