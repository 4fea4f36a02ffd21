from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gaussavatar.cli.common import run_verb
from gaussavatar.interrupts import answer_interrupt, interrupt_answered, interrupts_remembered

SWALLOWED = """
import os, signal, sys
from gaussavatar.cli.common import run_verb
from gaussavatar.progress import {progress}

class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass

def work():
    sys.unraisablehook = lambda dropped: print("dropped", dropped.exc_type.__name__, flush=True)
    held = Held()
    del held
    print("went on", flush=True)
    {then}
    print("came to its end", flush=True)

sys.exit(run_verb(work))
"""
STAGE = 'with {}().stage("a", 2) as advance: advance(1)'


@pytest.mark.parametrize(
    ("progress", "then", "ends"),
    [
        ("TerminalProgress", STAGE.format("TerminalProgress"), False),
        ("QuietProgress", STAGE.format("QuietProgress"), False),
        ("TerminalProgress", 'TerminalProgress().say("b")', False),
        ("TerminalProgress", "pass", True),
    ],
)
def test_an_interrupt_that_a_finaliser_swallows_is_answered_when_progress_is_told(
    progress: str, then: str, ends: bool
) -> None:
    program = SWALLOWED.format(progress=progress, then=then)
    # A shell that runs the tests in the background ignores SIGINT, and its children would inherit that.
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert "dropped Interrupted" in done.stdout and "went on" in done.stdout
    assert ("came to its end" in done.stdout) is ends
    assert done.returncode == 130 and "the same command continues" in done.stderr


def test_an_interrupt_that_did_its_work_is_forgotten_and_the_handler_restored() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts_remembered():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                answer_interrupt()
            interrupt_answered()
            answer_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_worker_thread_is_left_to_its_work() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            answer_interrupt()
        except KeyboardInterrupt as error:
            raised.append(error)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts_remembered():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not raised


TIDIED = """
import os, signal, sys, time
from pathlib import Path
from gaussavatar.cli.common import run_verb
from gaussavatar.storage import atomic_path

def work():
    with atomic_path(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        try:
            os.kill(os.getpid(), int(sys.argv[2]))
            time.sleep(60)
        except KeyboardInterrupt:
            if sys.argv[3] == "as another":
                raise ValueError("a library's own error")
            raise

sys.exit(run_verb(work))
"""


@pytest.mark.parametrize("how", ["as it is", "as another"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_polite_end_tidies_up_and_says_a_line(number: int, how: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TIDIED, str(tmp_path / "a.txt"), str(int(number)), how], capture_output=True, text=True,
        # Whoever runs the tests in the background ignores some of these, and children inherit that.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 128 + number
    assert done.stderr.strip().endswith("the same command continues from here") and done.stderr.strip().count("\n") == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "enough memory"),
        (OSError(28, "No space left on device", "a.mp4"), "a full disk while writing a.mp4"),
    ],
)
def test_what_the_machine_lacks_is_said_in_a_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        try:
            raise error
        except MemoryError as inner:
            raise ValueError("after it") from inner

    assert run_verb(work) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and line in told and told.count("\n") == 1


def test_a_mistake_of_the_program_keeps_its_traceback() -> None:
    def work() -> None:
        try:
            raise PermissionError(13, "no", "a.txt")
        except OSError:
            raise KeyError("ours") from None

    with pytest.raises(KeyError):
        run_verb(work)
