"""What a keeper keeps: its command ends with the worker, within its memory, and with all that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gaussavatar.batch import keeper


def started(tmp_path: Path, code: str, limit: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", keeper.__file__, str(tmp_path / "usage.json"), str(tmp_path / "log.txt")]
    return subprocess.Popen([*command, str(limit), sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE)


def usage(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "usage.json").read_text())


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_exit_code_log_and_usage(tmp_path: Path) -> None:
    process = started(tmp_path, "import sys; print('said'); sys.exit(7)")
    assert process.wait() == 7 and (tmp_path / "log.txt").read_text() == "said\n"
    assert usage(tmp_path)["code"] == 7 and usage(tmp_path)["ended_by"] == ""


def test_it_ends_with_its_worker_and_all_that_it_started(tmp_path: Path) -> None:
    # One of them is deaf to polite words, and the other in a group of its own.
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "below = subprocess.Popen(['sleep', '1000'], preexec_fn=lambda: os.setpgid(0, 0))\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{below.pid}} ')\ntime.sleep(1000)"
    )
    process = started(tmp_path, code)
    path = tmp_path / "pids"
    wait_for(lambda: path.exists() and path.read_text().endswith(" "))
    pids = [int(word) for word in path.read_text().split()]
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
    wait_for(lambda: not any(map(alive, pids)))
    assert usage(tmp_path)["ended_by"] == "worker" and usage(tmp_path)["signal"] == signal.SIGKILL


def test_it_dies_with_its_keeper(tmp_path: Path) -> None:
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(1000)"
    process = started(tmp_path, code)
    path = tmp_path / "pid"
    wait_for(lambda: path.exists() and path.read_text().endswith(" "))
    process.kill()
    process.wait()
    wait_for(lambda: not alive(int(path.read_text())))


def test_memory_is_measured_and_held(tmp_path: Path) -> None:
    process = started(tmp_path, "import time\nheld = bytearray(150 << 20)\ntime.sleep(4)")
    assert process.wait() == 0 and 150 << 20 < usage(tmp_path)["peak"] < 400 << 20
    greedy = started(tmp_path, "import time\nheld = bytearray(300 << 20)\ntime.sleep(1000)", 100 << 20)
    assert greedy.wait() == 128 + signal.SIGKILL and usage(tmp_path)["ended_by"] == "memory"
    assert os.listdir(tmp_path)
