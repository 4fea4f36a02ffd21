"""Terminals that cannot show everything, or are closed, and folders that have gone: never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def said(folder: Path, words: list[str], **more) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    return subprocess.run(
        [sys.executable, "-m", "gaussavatar.cli", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        **more,
    )


@pytest.mark.parametrize("name", ["\u00fc\u65e5\u672c.wav", os.fsdecode(b"caf\xe9.wav")])
def test_a_name_that_the_terminal_cannot_show_is_escaped(tmp_path: Path, name: str) -> None:
    done = said(tmp_path, ["speak", "--audio", name])
    line = done.stderr.decode("ascii").strip()
    assert done.returncode == 2 and line.startswith("error: expected a file for --audio at ") and "\\" in line


def test_a_closed_stream_ends_nothing(tmp_path: Path) -> None:
    closed = f"exec '{sys.executable}' -m gaussavatar.cli --version >&-"
    done = subprocess.run(["/bin/sh", "-c", closed], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0 and done.stderr == b""


def test_a_folder_that_has_gone_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir '{gone}'; exec '{sys.executable}' -m gaussavatar.cli doctor"
    done = subprocess.run(["/bin/sh", "-c", script], cwd=gone, capture_output=True, check=False)
    assert done.returncode == 2 and b"one that was deleted" in done.stderr and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "came"),
    [
        (["track", "https://example.com/a.mp4"], "an address"),
        (["fit", "pipe"], "a pipe"),
        (["fit", "gone.mp4"], "no such file"),
        (["speak", "--audio", "https://example.com/a.wav"], "an address"),
        (["speak", "--audio", "pipe"], "a pipe"),
        (["speak", "--video", "."], "a folder"),
        (["live", "--port", "70000"], "a port from 1 to 65535"),
        (["view", "--mode", "stream", "--audio", "gone.wav"], "no such file"),
    ],
)
def test_what_is_no_file_is_said_before_anything_heavy_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], came: str
) -> None:
    from gaussavatar.cli import main

    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    # Whoever asks for these here has not looked at the path first.
    for heavy in ("gaussavatar.fitting.fit", "gaussavatar.avatar.load", "gaussavatar.view.server"):
        monkeypatch.setitem(sys.modules, heavy, None)
    assert main.run(words) == 2
    line = capsys.readouterr().err
    assert came in line and line.count("\n") == 1
