"""Playing needs nothing of tracking: modules load and an avatar speaks where those packages are not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gaussavatar.errors import UserError
from gaussavatar.packages import missing_package, require_tracking

CHECKOUT = Path(__file__).parents[2]
PLAYING = ("audio", "avatar", "cli", "export", "media", "model", "motion", "render", "serving", "speak")
WITH_EXTRAS = ("gaussavatar.serving.door", "gaussavatar.serving.player")

BLOCKED = """
import importlib, json, pkgutil, sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in %r:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nowhere())
"""
TRACKING = ("anny", "mediapipe", "viser", "websockets", "yaml", "aiortc", "livekit", "pipecat")

PROGRAM = """
import gaussavatar
for room in %r:
    package = importlib.import_module("gaussavatar." + room)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name not in %r and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
clock = [0.0]
avatar = gaussavatar.load_avatar(sys.argv[1])
with avatar.live(render="image", seed=1, clock=lambda: clock[0]) as live:
    live.push(b"\\x10\\x20" * 16000, 16000)
    live.flush()
    frames = []
    while clock[0] < 3:
        frames += live.poll()
        clock[0] += 0.04
print(json.dumps([sum(frame.speaking for frame in frames), sum(frame.image is not None for frame in frames)]))
try:
    gaussavatar.fit("me.mp4", "out")
except ModuleNotFoundError as error:
    print(error.name)
print(sorted({name.partition(".")[0] for name in sys.modules} & set(%r)))
print(sorted(name for name in sys.modules if name in ("gaussavatar.tracking", "gaussavatar.training.train")))
"""


def names_of(dependencies: list[str]) -> dict[str, str]:
    return {re.match(r"[\w-]+", line)[0]: line for line in dependencies}  # type: ignore[index]


def projects() -> tuple[dict, dict]:
    files = (CHECKOUT / "pyproject.toml", CHECKOUT / "packaging" / "play" / "pyproject.toml")
    whole, playing = (tomllib.loads(file.read_text())["project"] for file in files)
    return whole, playing


def test_an_avatar_speaks_where_tracking_cannot_be_imported(toy_avatar: Path, tmp_path: Path) -> None:
    code = BLOCKED % (TRACKING,) + PROGRAM % (PLAYING, WITH_EXTRAS, TRACKING)
    done = subprocess.run(
        [sys.executable, "-c", code, str(toy_avatar)], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "HOME": str(Path.home())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts, refused, loaded, tracking = done.stdout.splitlines()
    spoken, drawn = json.loads(counts)
    assert spoken == 25 and drawn >= 75
    assert (refused, loaded, tracking) == ("anny", "[]", "[]")


def test_playing_wants_what_the_whole_program_wants_but_for_tracking() -> None:
    whole, playing = projects()
    wide, narrow = names_of(whole["dependencies"]), names_of(playing["dependencies"])
    assert not set(narrow) & {"anny", "mediapipe", "pyyaml", "viser"}
    assert set(narrow) - set(wide) == {"opencv-python-headless"}, "what playing needs, the whole program needs too"
    apart = {name: line for name, line in narrow.items() if name in wide and line != wide[name]}
    assert apart == {"numpy": "numpy>=1.25,<3"}, "mediapipe wants an older numpy, playing does not"
    assert whole["scripts"] == playing["scripts"]


def test_each_missing_package_has_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(name: str) -> str:
        mistake = missing_package(ModuleNotFoundError(f"No module named {name!r}", name=f"{name}.inner"))
        return "" if mistake is None else str(mistake)

    assert told("numpy_of_mine") == ""
    assert 'pip install "gaussavatar-play[livekit]"' in told("livekit")
    monkeypatch.setattr("gaussavatar.packages.plays_only", lambda: True)
    assert told("viser").endswith('pip install "gaussavatar-play[view]"')
    assert told("mediapipe").endswith("in an environment of its own: pip install gaussavatar")
    require_tracking("fit")
    monkeypatch.setattr("gaussavatar.packages.find_spec", lambda name: None)
    with pytest.raises(UserError, match="anny, mediapipe, yaml, which fit needs"):
        require_tracking("fit")
