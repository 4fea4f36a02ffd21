"""What plays imports nothing that only tracking needs, and what does track says in one line what to install."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from gaussavatar import packages
from gaussavatar.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[2]
WITHOUT = ("anny", "mediapipe", "yaml", "threadpoolctl", "viser", "matplotlib", "websockets")
"""What the environment of the tests has, and a fresh process here is told that it has not."""


def fresh(program: str) -> subprocess.CompletedProcess[str]:
    """A new Python in which the packages of tracking cannot be imported."""
    head = f"import sys\nfor name in {WITHOUT}:\n    sys.modules[name] = None\n"
    command = [sys.executable, "-c", head + program]
    return subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=120)


def test_all_that_plays_is_imported_without_the_packages_of_tracking(toy_avatar: Path) -> None:
    rooms = "motion render model avatar speak export audio media image".split()
    program = f"""
from importlib import import_module
from pkgutil import walk_packages
for room in {rooms}:
    package = import_module("gaussavatar." + room)
    for module in walk_packages(package.__path__, package.__name__ + "."):
        if module.name != "gaussavatar.audio.prior.__main__":
            import_module(module.name)
import gaussavatar
for name in gaussavatar.__all__:
    getattr(gaussavatar, name)
avatar = gaussavatar.load_avatar({str(toy_avatar)!r})
live = avatar.live(render="image")
assert live.poll()[0].image.shape[2] == 3
rooms = ("training", "tracking", "capture", "fitting")
tracks = [name for name in rooms if "gaussavatar." + name in sys.modules]
assert not tracks, tracks
"""
    done = fresh(program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["fit", __file__], ["track", __file__], ["demo"], ["evaluate"], ["view", "."]])
def test_verbs_that_need_more_end_in_one_line(words: list[str]) -> None:
    done = fresh(f"from gaussavatar.cli.main import run\nsys.exit(run({words}))")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1 and "pip install gaussavatar" in done.stderr, done.stderr


def test_functions_that_need_more_say_what_to_install() -> None:
    done = fresh("""
import gaussavatar
for name, more in (("fit", ()), ("track", ()), ("reenact", ("y.mp4",))):
    try:
        getattr(gaussavatar, name)("x.mp4", *more)
    except gaussavatar.UserError as error:
        assert "mediapipe" in error.expected and "pip install gaussavatar" in error.do, error
        assert name in error.expected, error
    else:
        raise AssertionError(name)
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "playing", "said"),
    [
        ("viser.extras", True, 'pip install "gaussavatar-play[view]"'),
        ("viser", False, "pip install gaussavatar"),
        ("aiortc", False, 'pip install "gaussavatar[stream]"'),
        ("livekit.rtc", True, 'pip install "gaussavatar-play[livekit]"'),
        ("pipecat", False, 'in an environment of its own: pip install "gaussavatar-play[pipecat]"'),
        ("mediapipe", True, "in an environment of its own: pip install gaussavatar"),
    ],
)
def test_an_import_that_fails_names_the_package_to_install(
    module: str, playing: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "plays_only", lambda: playing)
    mistake = packages.missing_package(ModuleNotFoundError("no", name=module))
    assert isinstance(mistake, UserError) and mistake.do == said


def test_an_opencv_without_a_desktop_ends_in_one_line_with_what_to_do() -> None:
    done = fresh("""
from gaussavatar.cli.common import run_verb

def work():
    raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

sys.exit(run_verb(work))
""")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "libGL.so.1" in done.stderr and "opencv-contrib-python-headless" in done.stderr


def test_an_import_that_no_installation_mends_keeps_its_traceback() -> None:
    assert packages.missing_package(ModuleNotFoundError("no", name="gaussavatar.wings")) is None


def names(requirements: list[str]) -> set[str]:
    return {line.split(";")[0].split("[")[0].split("=")[0].split(">")[0].split("<")[0].strip() for line in requirements}


def test_the_distribution_for_playing_is_the_same_package_with_fewer_dependencies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT / "packaging" / "play", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("gaussavatar_play-*.whl")
    wheel = zipfile.ZipFile(built)
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    here = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "gaussavatar").rglob("*.py")}
    assert here <= files and "gaussavatar/_recipes/default.yaml" in files and not [n for n in files if n[-4:] == ".pyc"]
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    wanted = HeaderParser().parsestr(wheel.read(metadata).decode())
    needed = [line for line in wanted.get_all("Requires-Dist", []) if "extra ==" not in line]
    whole = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    # The headless OpenCV is the same module, and asks for no desktop.
    assert names(needed) - {"opencv-python-headless"} == names(whole) - {
        "anny", "mediapipe", "opencv-contrib-python", "pyyaml", "threadpoolctl", "viser",
    }  # fmt: skip
    assert any(name.split("/")[-1] == "LICENSE" for name in wheel.namelist())
