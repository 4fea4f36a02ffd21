"""Struck at any moment of a command's life, also while it starts and while it ends: a line and a code, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

STRUCK = """
import os, resource, signal, sys

def strike(how):
    if how != "no memory":
        return os.kill(os.getpid(), int(how))
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + (1 << 18)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

def watch(event, words):
    if moments and event == "import" and words[0] == moments[0]:
        strike(how)
        moments.clear()

class Late:
    def __del__(self, strike=strike):
        strike(how)

moments, how = [sys.argv.pop(1)], sys.argv.pop(1)
sys.addaudithook(watch)
if moments == ["end"]:
    import atexit
    atexit.register(strike, how)
if moments == ["last"]:
    import threading, time
    # A signal meets whichever thread does not block it.
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    held = Late()
from gaussavatar.cli.__main__ import main
if moments == ["exit"]:
    import atexit
    atexit.register(lambda: None)
    real = atexit.register
    def register(work, *words):
        real(work, *words)
        real(strike, how)
        atexit.register = real
    atexit.register = register
sys.exit(main())
"""


def struck(moment: str, how: str, tmp_path: Path, words: tuple[str, ...] = ("head", "list")) -> tuple[int, list[str]]:
    """Exit code of ``gaussavatar WORDS`` and the lines that it says on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", STRUCK, moment, how, *words], capture_output=True, text=True, cwd=tmp_path,
        # A shell that runs the tests in the background ignores SIGINT, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    return done.returncode, [line for line in done.stderr.splitlines() if line]


@pytest.mark.parametrize(
    ("moment", "number"), [("dataclasses", 15), ("gaussavatar.cli.main", 2), ("tyro", 15), ("gaussavatar.cli.view", 2)]
)
def test_a_signal_while_it_starts(moment: str, number: int, tmp_path: Path) -> None:
    code, lines = struck(moment, str(number), tmp_path)
    assert code == 128 + number and len(lines) == 1 and lines[0].endswith("before anything was done")


def test_ctrl_c_before_anything_is_seen_to(tmp_path: Path) -> None:
    assert struck("gaussavatar.interrupts", "2", tmp_path) == (130, ["interrupted before anything was done"])


def test_a_signal_while_what_the_verb_needs_is_imported(tmp_path: Path) -> None:
    lines = ["stopped by SIGTERM; nothing is lost, the same command continues from here"]
    assert struck("numpy", "15", tmp_path) == (143, lines)


def test_a_signal_while_the_interpreter_ends(tmp_path: Path) -> None:
    assert struck("exit", "2", tmp_path, ("--version",)) == (130, ["interrupted after the work had ended"])


@pytest.mark.parametrize("moment", ["end", "last"])
def test_a_signal_when_nothing_is_left_to_be_done_changes_nothing(moment: str, tmp_path: Path) -> None:
    assert struck(moment, "15", tmp_path, ("--version",)) == (0, [])


@pytest.mark.parametrize("moment", ["gaussavatar.interrupts", "dataclasses", "tyro", "numpy"])
def test_no_memory_from_an_import_on(moment: str, tmp_path: Path) -> None:
    code, lines = struck(moment, "no memory", tmp_path)
    assert code == 2 and len(lines) == 1 and lines[0].startswith("error: expected enough memory")


NO_ROOM = """
import resource, sys, threading
from gaussavatar.cli.__main__ import main
import gaussavatar.cli.main

def work():
    first = threading.Thread(target=int)
    first.start()
    first.join()
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + 300_000
    hog, thread = [], threading.Thread(target=int)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        while True:
            hog.append(bytearray(4096))
    except MemoryError:
        hog.pop()
    # Its stack is that of the first; what it needs besides is not to be had.
    thread.start()

gaussavatar.cli.main.run = lambda: gaussavatar.cli.main.run_verb(work)
main()
"""


def test_a_thread_without_memory_is_not_waited_for(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", NO_ROOM], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("error: expected enough memory")
