"""The program with a journal of what it does to files: ``python child.py WORDS``, the words after ``gaussavatar``.

``python child.py --serve`` has imported what the program needs, and forks for every line of JSON that it is sent
(``words``, ``folder``, ``environment``, ``said``: a file for what is said); it answers with the process's id and, once
that has ended, with its exit code.

Environment: ``KILLS_ROOT`` is the folder whose files are watched. ``KILLS_JOURNAL`` takes a line of JSON per operation;
``KILLS_SHADOW`` is a folder beside the root that keeps a second name of every file whose name is taken from it.
``KILLS_STOP`` is the operation before which the program asks its parent (``KILLS_ASK``, a fifo), and waits for an
answer (``KILLS_ANSWER``, another). ``KILLS_BEGUN`` is a file that is there once the program itself is begun.
``KILLS_SEGMENT`` are the seconds of a segment of a long video.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_numbers = itertools.count()
_own = threading.local()


@dataclass(frozen=True)
class Watched:
    """What the environment says, opened."""

    root: str
    journal: int
    shadow: Path
    stop: int
    ask: int
    answer: int


@cache
def watched() -> Watched:
    """What this process watches and where it tells of it; asked first before anything is watched."""
    told = os.environ
    journal = os.open(told["KILLS_JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    ask, answer = (os.open(told[name], os.O_RDWR) for name in ("KILLS_ASK", "KILLS_ANSWER"))
    root = os.path.realpath(told["KILLS_ROOT"])
    return Watched(root, journal, Path(told["KILLS_SHADOW"]), int(told["KILLS_STOP"]), ask, answer)


def place(path: Any, folder: Any = None) -> str | None:
    """The watched path that an event names; None for others."""
    if isinstance(path, int):
        return None
    text = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0:
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    text = os.path.abspath(text)
    return text if text.startswith(watched().root + os.sep) else None


def note(**entry: Any) -> None:
    """Write a line of the journal, before the operation is done; stop there where that is asked for."""
    number = next(_numbers)
    old = entry.pop("old", None)
    if old is not None and os.path.isfile(old) and ".unfinished" not in old:
        os.link(old, watched().shadow / str(number))
        entry["shadow"] = str(number)
    os.write(watched().journal, (json.dumps({"number": number, **entry}) + "\n").encode())
    if number == watched().stop:
        os.write(watched().ask, b"?")
        os.read(watched().answer, 1)


def watch(event: str, words: tuple[Any, ...]) -> None:
    """Audit hook: see https://docs.python.org/3/library/audit_events.html."""
    if event == "open":
        shorten_segments()
    if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") or getattr(_own, "busy", False):
        return
    _own.busy = True
    try:
        if event == "os.rename":
            source, target = place(words[0], words[2]), place(words[1], words[3])
            if source and target:
                note(op="name", source=source, path=target, old=target)
        elif event == "open":
            path = place(words[0])
            if path and isinstance(words[2], int) and words[2] & (os.O_WRONLY | os.O_RDWR):
                note(op="open", path=path)
        elif (path := place(words[0], words[-1] if len(words) > 1 else None)) is not None:
            if event == "os.mkdir" and not os.path.exists(path):
                note(op="folder", path=path)
            elif event == "os.remove" and os.path.lexists(path):
                note(op="remove", path=path, old=path)
            elif event == "os.rmdir":
                note(op="rmdir", path=path)
    finally:
        _own.busy = False


def journal_syncs() -> None:
    """Let every fsync leave a line once it is done: which file, and what it was then."""
    fsync = os.fsync

    def told(file: Any) -> None:
        fsync(file)
        number = file if isinstance(file, int) else file.fileno()
        stat, path = os.fstat(number), os.readlink(f"/proc/self/fd/{number}")
        if place(path) or path == watched().root:
            note(op="sync", path=path, state=[stat.st_ino, stat.st_size, stat.st_mtime_ns])

    os.fsync = told


def shorten_segments() -> None:
    """Make a long video of many segments, once the program has imported what writes them: not before it would."""
    segments = sys.modules.get("gaussavatar.speak.segments")
    if "KILLS_SEGMENT" in os.environ and hasattr(segments, "SEGMENT_SECONDS"):
        segments.SEGMENT_SECONDS = float(os.environ["KILLS_SEGMENT"])  # type: ignore[union-attr]


def run(words: list[str]) -> None:
    """Run the program."""
    watched()
    journal_syncs()
    from gaussavatar.cli.__main__ import main as program

    sys.argv = ["gaussavatar", *words]
    sys.addaudithook(watch)
    Path(os.environ["KILLS_BEGUN"]).touch()
    program()


def serve() -> None:
    """Fork a program for every line of standard input."""
    for name in _HEAVY:
        import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_forked(asked))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


_HEAVY = ("gaussavatar.cli.main", "gaussavatar.export.registry", "gaussavatar.avatar.load", "gaussavatar.head.install",
          "gaussavatar.speak.offline", "gaussavatar.export.states", "scipy.spatial", "soundfile")  # fmt: skip


def _forked(asked: dict[str, Any]) -> int:
    """Be the program, in a session of its own; returns its exit code."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["folder"])
    os.environ.update(asked["environment"])
    tempfile.tempdir = None
    said = os.open(asked["said"], os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        run(asked["words"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else run(sys.argv[1:])
