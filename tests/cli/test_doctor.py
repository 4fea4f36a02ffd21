"""The doctor finds what is there, says what is missing and what to do, and checks the rest all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gaussavatar.cli.doctor import CHECKS


def doctor(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gaussavatar.cli", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ | environment)
    assert "Traceback" not in done.stderr, done.stderr
    assert len(done.stdout.splitlines()) == len(CHECKS) + 2, done.stdout
    return done


def line_of(done: subprocess.CompletedProcess[str], name: str) -> str:
    (line,) = (line for line in done.stdout.splitlines() if line[8:].startswith(f"{name} "))
    return line


def test_everything_is_there(tmp_path: Path) -> None:
    done = doctor(tmp_path)
    assert done.returncode == 0 and done.stdout.rstrip().endswith("the main road works")
    assert "MISSING" not in done.stdout
    assert any(isa in line_of(done, "native rasterizer") for isa in ("avx512", "avx2", "generic"))
    assert "ffmpeg version" in line_of(done, "ffmpeg")
    assert line_of(done, "backend").split()[2] in ("native", "gsplat")


def test_a_wrong_ffmpeg_is_named_and_the_rest_still_checked(tmp_path: Path) -> None:
    done = doctor(tmp_path, GAUSSAVATAR_FFMPEG=str(tmp_path / "no-ffmpeg"))
    assert done.returncode == 1
    line = line_of(done, "ffmpeg")
    assert line.startswith("MISSING") and "no-ffmpeg" in line and "unset the variable" in line
    assert line_of(done, "disk").startswith("ok")


def test_no_compiler_and_nothing_built(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    done = doctor(tmp_path, PATH=str(empty), CXX="", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 1
    assert line_of(done, "native rasterizer").startswith("MISSING")
    assert "g++" in line_of(done, "compiler") and "g++" in line_of(done, "native rasterizer")
