"""Every verb answers --help, quickly: nothing heavy is imported before a verb runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gaussavatar import __version__
from gaussavatar.cli.main import VERBS, run

HEAVY = ("torch", "numpy", "mediapipe", "cv2", "scipy", "viser", "rich.console", "soundfile")


def python(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run([verb, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: gaussavatar {verb}" in shown
    assert VERBS[verb].__doc__.split(".")[0].split()[0] in shown


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["doctor", "--help"]])
def test_help_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom gaussavatar.cli.main import run\n"
        f"try:\n    run({words!r})\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = python(code, tmp_path)
    assert done.stdout.rstrip().endswith("heavy: []"), done.stdout + done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gaussavatar {__version__}\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["fit"], "PATH"),
        (["speak"], "--audio"),
        (["fit", "a.mp4", "--recipi", "preview"], "--recipi"),
        (["fitt", "a.mp4"], "fit"),
        (["view", "--mode", "hologram"], "stream"),
    ],
)
def test_a_mistyped_command_says_what_is_wrong(
    words: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(words)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert shown in captured.err + captured.out
    assert "Traceback" not in captured.err


def test_a_reader_that_goes_away_is_no_crash(tmp_path: Path) -> None:
    command = f"{sys.executable} -m gaussavatar.cli head list | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("built-in") and "Traceback" not in done.stderr and "rror" not in done.stderr
