"""One attempt at a unit of a batch, in a worker: inputs come, the command runs as a user would run it, outputs go.

It runs in a process of its own (:mod:`gaussavatar.batch.keeper`), so that log, memory and death are its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gaussavatar.batch import keeper
from gaussavatar.batch.places import file_name, is_remote
from gaussavatar.batch.store import exists, fetch, fetch_files, fetched_once, put, remove
from gaussavatar.errors import UserError
from gaussavatar.locks import locked_elsewhere
from gaussavatar.parallel import THREADS_VARIABLE

LOOK = 0.5
"""Seconds between two looks at a row's log."""

WAIT = 20.0
"""Seconds that the folder of a row may still be in the hands of an attempt whose worker is gone."""

PARTS = ".part"
"""What ``speak`` adds to the name of a video for the folder of its segments."""

_MEMORY = "expected enough memory"
"""How a command's last line begins that ended for lack of it."""


@dataclass(frozen=True)
class Task:
    """What a worker is told of an attempt; plain data."""

    unit: str
    attempt: int
    key: str
    verb: str
    words: tuple[str, ...]
    """The command, with places where paths of this machine will be."""
    reads: tuple[tuple[str, str], ...]
    """Places and what names their contents; "" for what only this row reads."""
    writes: tuple[str, ...]
    part: str | None
    whole: bool
    """Whether frames and checkpoints of a fit go up."""
    cores: int
    memory: int
    """Bytes that it may have; 0 for any."""
    work: str | None
    """Folder for what is under way, on the node."""
    seen: str | None
    """A file that a node must see whose paths are the driver's; None where no path is used."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    end: Literal["done", "failed", "lost", "memory"]
    """``failed``: it would fail again; ``lost``: something ended it; ``memory``: it wants more than it was given."""
    message: str = ""
    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    node: str = ""


def work_folder(given: str | None) -> Path:
    """Where a node keeps what is under way: the given folder, else one of this user's below the temporary one."""
    import tempfile

    return Path(given) if given else Path(tempfile.gettempdir()) / f"gaussavatar-batch-{os.getuid()}"


def attempt(task: Task, tell: Callable[[str], None]) -> Outcome:
    """Do a task once; whatever goes wrong is in the outcome.

    Args:
        task: what to do.
        tell: is given what the command's log says, as it comes.
    """
    node = f"{socket.gethostname()}:{os.getpid()}"
    try:
        if task.seen and not Path(task.seen).exists():
            came = f"{socket.gethostname()}, which does not"
            do = "share the folder among all nodes, or use a store (--base s3://...)"
            raise UserError(f"nodes that see {Path(task.seen).parent}", came, do)
        base = work_folder(task.work)
        with only_attempt(base / "rows" / task.key) as lock:
            outcome = _done_in(base / "rows" / task.key, base / "fetched", task, tell, node, lock)
        if outcome.end == "done":
            shutil.rmtree(base / "rows" / task.key, ignore_errors=True)
        return outcome
    except UserError as error:
        tell(f"error: {error}\n")
        return Outcome("failed", f"error: {error}", node=node)
    except BlockingIOError:
        return Outcome("lost", "an attempt before it has not ended yet", node=node)


@contextmanager
def only_attempt(folder: Path) -> Iterator[int]:
    """Hold the folder of a unit, which its next attempt goes on in; the value is its lock, for a keeper to inherit.

    Raises:
        BlockingIOError: another attempt holds it and does not end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + WAIT
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        while locked_elsewhere(lock.fileno()):
            if time.monotonic() > deadline:
                raise BlockingIOError(f"{lock.name} is held by another attempt")
            time.sleep(LOOK)
        folder.mkdir(parents=True, exist_ok=True)
        yield lock.fileno()


def _done_in(folder: Path, cache: Path, task: Task, tell: Callable[[str], None], node: str, lock: int) -> Outcome:
    here = dict(_fetched(task, folder, cache))
    made = {place: _own_path(place, folder, here) for place in task.writes}
    out = task.writes[0]
    parts = is_remote(out) and task.part is not None
    if parts:
        _fetch_parts(out, made[out], task.part or "")
    command = _command(task, folder, here | {place: str(path) for place, path in made.items()})
    outcome = _run(command, task, folder, tell, node, lock)
    if outcome.end != "done":
        return outcome
    if parts and task.part != "join":
        put(made[out].with_name(made[out].name + PARTS), f"{out}{PARTS}")
        return outcome
    for place, path in made.items():
        put(path, place, whole=task.whole)
    if parts:
        remove(f"{out}{PARTS}")
    return outcome


def _fetched(task: Task, folder: Path, cache: Path) -> Iterator[tuple[str, str]]:
    for number, (place, shared) in enumerate(task.reads):
        if is_remote(place):
            whole, own = task.verb == "evaluate", folder / "inputs" / str(number)
            path = fetched_once(place, shared, cache, whole=whole) if shared else fetch(place, own, whole=whole)
            if shared and whole:
                # It writes into the avatar's folder, which others read.
                path = Path(shutil.copytree(path, own / file_name(place), dirs_exist_ok=True))
            yield place, str(path)


def _own_path(place: str, folder: Path, here: Mapping[str, str]) -> Path:
    """Where an output is written on this machine."""
    if not is_remote(place):
        path = Path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
    # An evaluation's report lies in the avatar that was fetched for it.
    parent = place.rpartition("/")[0]
    if parent in here:
        return Path(here[parent]) / file_name(place)
    path = folder / "outputs" / file_name(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _fetch_parts(out: str, path: Path, part: str) -> None:
    """What other parts of a long video have left in the store: the motion, and for joining the segments."""
    from gaussavatar.speak.segments import HEARD

    if part == "hear" and not exists(f"{out}{PARTS}"):
        return
    wanted = None if part == "join" else HEARD
    folder = path.with_name(path.name + PARTS)
    fetch_files(f"{out}{PARTS}", folder, lambda name: wanted is None or name in wanted)


def _command(task: Task, folder: Path, here: Mapping[str, str]) -> list[str]:
    """The keeper's command line, with places as paths of this machine."""
    words = []
    for word in task.words:
        flag, equals, value = word.partition("=")
        words.append(f"{flag}={here[value]}" if equals and value in here else here.get(word, word))
    kept = [sys.executable, "-I", "-S", keeper.__file__, *map(str, _usage_and_log(folder)), str(task.memory)]
    return [*kept, sys.executable, "-m", "gaussavatar.cli", *words]


def _usage_and_log(folder: Path) -> tuple[Path, Path]:
    return folder / "usage.json", folder / "log.txt"


def _run(command: list[str], task: Task, folder: Path, tell: Callable[[str], None], node: str, lock: int) -> Outcome:
    usage, log = _usage_and_log(folder)
    usage.unlink(missing_ok=True)
    log.touch()
    tail = Tail(log)
    # While its keeper lives the row's folder is taken, also where this worker is gone.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        cwd=folder,
        env=environment(task.cores),
        pass_fds=(lock,),
        start_new_session=True,
    )
    with process:
        while process.poll() is None:
            time.sleep(LOOK)
            tail.read(tell)
    tail.read(tell)
    try:
        facts = json.loads(usage.read_text())
    except (OSError, ValueError):
        return Outcome("lost", "its keeper was ended", node=node)
    last = next((line.strip() for line in reversed(tail.text.splitlines()) if line.strip()), "")
    took = {"seconds": facts["seconds"], "cpu": facts["cpu"], "peak": facts["peak"], "node": node}
    if facts["ended_by"] == "memory" or (facts["code"] == 2 and _MEMORY in last):
        return Outcome("memory", f"it wanted more than {task.memory >> 20} MiB", **took)
    if facts["code"] > 128:
        return Outcome("lost", f"ended by signal {facts['code'] - 128}", **took)
    return Outcome("failed" if facts["code"] else "done", last[:1000] if facts["code"] else "", **took)


class Tail:
    """What comes to a log from now on; its last words are kept in ``text``."""

    def __init__(self, log: Path) -> None:
        self._log, self._read, self.text = log, log.stat().st_size, ""

    def read(self, tell: Callable[[str], None]) -> None:
        """Tell what is new."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            while new := file.read(1 << 16):
                self._read += len(new)
                shown = new.decode(errors="replace")
                tell(shown)
                self.text = (self.text + shown)[-4000:]


def environment(cores: int) -> dict[str, str]:
    """What a command finds in its environment: its number of cores, and this program."""
    package = Path(__file__).resolve().parents[2]
    given = dict(os.environ, **{THREADS_VARIABLE: str(cores), "OMP_NUM_THREADS": str(cores), "PYTHONUNBUFFERED": "1"})
    if package.name not in ("site-packages", "dist-packages"):
        given["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    return given
