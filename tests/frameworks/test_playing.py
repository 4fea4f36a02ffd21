"""An installation for playing only: nothing is borrowed, nothing that tracks is there, and playing is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile

import gaussavatar
from gaussavatar.media.probe import probe
from gaussavatar.packages import plays_only
from tests.frameworks.toy import RATE, avatar_here, babble

pytestmark = pytest.mark.skipif(not plays_only(), reason="another installation: python -m tests.frameworks.run")

SITE = Path(sysconfig.get_paths()["purelib"]).resolve()
TRACK = ("training", "tracking", "segmentation", "capture", "landmarks", "fitting", "synthetic")


def fresh(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=1800)


def verb(*words: object) -> subprocess.CompletedProcess[str]:
    return fresh("-m", "gaussavatar.cli", *map(str, words))


def test_nothing_is_borrowed_from_another_environment() -> None:
    assert "include-system-site-packages = false" in (Path(sys.prefix) / "pyvenv.cfg").read_text()
    assert Path(gaussavatar.__file__).resolve().is_relative_to(SITE)
    lines = [line for path in SITE.glob("*.pth") for line in path.read_text().splitlines()]
    assert all(line.startswith(("import ", "#")) or (SITE / line).resolve().is_relative_to(SITE) for line in lines)
    assert {Path(str(one.locate_file(""))).resolve() for one in distributions()} == {SITE}


def test_what_tracking_needs_is_not_here_and_its_verbs_say_so(tmp_path: Path) -> None:
    assert [name for name in ("mediapipe", "anny") if find_spec(name) is not None] == []
    for words in (("fit", "clip.mp4"), ("track", "clip.mp4"), ("demo",)):
        told = verb(*words)
        assert told.returncode == 2 and told.stderr.count("\n") == 1, told.stderr
        assert "pip install gaussavatar" in told.stderr


def test_playing_loads_nothing_that_tracks() -> None:
    avatar_here()
    told = fresh("-c", f"""
import os, sys
import gaussavatar
live = gaussavatar.load_avatar(os.environ["GAUSSAVATAR_TEST_AVATAR"]).live(render="image")
assert live.poll()[0].image.shape[2] == 3
print([name for name in sys.modules if name.startswith(tuple("gaussavatar." + room for room in {TRACK}))])
""")  # fmt: skip
    assert told.returncode == 0 and told.stdout.strip() == "[]", told.stdout + told.stderr


def test_the_avatar_speaks_into_a_file(tmp_path: Path) -> None:
    avatar_here()
    soundfile.write(tmp_path / "said.wav", babble(1.0), RATE)
    words = ("--avatar", os.environ["GAUSSAVATAR_TEST_AVATAR"], "--out", tmp_path / "spoken.mp4", "--features", "light")
    told = verb("speak", "--audio", tmp_path / "said.wav", *words)
    assert told.returncode == 0, told.stderr
    assert probe(tmp_path / "spoken.mp4").seconds == pytest.approx(1.0, abs=0.05)
