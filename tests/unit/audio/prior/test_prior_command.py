from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaussavatar.audio.features.viseme_network import CLASSES, read_network
from gaussavatar.audio.prior.__main__ import Make


def test_the_command_makes_weights_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if ctypes.util.find_library("espeak-ng") is None or shutil.which("flite") is None:
        pytest.skip("espeak-ng and flite are not both installed")
    out = tmp_path / "small.safetensors"
    Make(minutes=0.4, steps=3, seed=2, out=out).run()
    network = read_network(out)
    assert network.head[0].shape[0] == len(CLASSES) + 4
    assert network.made.startswith("0.4 min of espeak-ng, flite; 3 steps, seed 2")
    told = capsys.readouterr().out
    assert "espeak-ng: frames right" in told and "flite: frames right" in told and str(out) in told


def test_without_an_engine_the_command_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # The library, where it is installed, is found without it.
    answer = subprocess.run(
        [sys.executable, "-m", "gaussavatar.audio.prior", "--minutes", "0.1", "--out", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1 and "apt-get install" in answer.stderr
    assert not (tmp_path / "none").exists()
