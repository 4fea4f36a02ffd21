"""A page that is served until somebody stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gaussavatar.serving.until import serve_until_stopped


def stopped(number: signal.Signals) -> None:
    time.sleep(0.2)
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order_and_is_left_as_it_was(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        threading.Thread(target=stopped, args=(number,)).start()
        serve_until_stopped("page", "http://localhost:1", "::", False, lambda: print("closing"))
        assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    finally:
        signal.signal(number, before)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "page: http://localhost:1 (Ctrl-C ends it)" and "served on ::" in said[1]
    assert said[2:] == ["closing", "page closed"]


def test_what_fails_is_closed_and_told() -> None:
    closed: list[str] = []

    def fail() -> None:
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        serve_until_stopped("page", "http://localhost:1", "localhost", False, lambda: closed.append("now"), fail)
    assert closed == ["now"]


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        seen: list[object] = []
        look = lambda: seen.append(signal.getsignal(signal.SIGHUP))  # noqa: E731
        serve_until_stopped("page", "http://localhost:1", "localhost", False, lambda: None, look)
        assert seen == [signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGHUP, before)


ELSEWHERE = """
import signal, threading, time
from gaussavatar.serving.until import serve_until_stopped

# What a shell starts in the background would ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

def later():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=later, daemon=True).start()
serve_until_stopped("page", "http://localhost", "127.0.0.1", False, lambda: None)
"""


def test_a_signal_that_the_system_gives_to_another_thread_ends_it_too() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and done.stdout.endswith("page closed\n"), done.stderr
