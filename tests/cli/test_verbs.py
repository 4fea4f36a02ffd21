"""Every verb answers --help, quickly: nothing heavy is imported before a verb runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gaussavatar import __version__
from gaussavatar.cli.main import VERBS, parse, run

HEAVY = ("torch", "numpy", "mediapipe", "cv2", "scipy", "viser", "rich.console", "soundfile")


CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
BENCHES = {
    "raster": {"--out"},
    "step": {"--out", "--recipe", "--set", "--device"},
    "tracking": {"--out", "--video"},
    "voice": {"--out", "--avatar", "--audio"},
    "lips": {
        "--out",
        "--avatar",
        "--clips",
        "--features",
        "--variant",
        "--set",
        "--recipe",
        "--seeds",
        "--blocks",
        "--jobs",
    },  # fmt: skip
    "closure": {"--out", "--avatar", "--audio"},
    "live": {"--out", "--hearing", "--minutes"},
    "opening": {"--out", "--hearing", "--own", "--voice"},
    "views": {"--out", "--avatar", "--clip", "--seed", "--frames", "--pictures"},
    "ablations": {"--out", "--video", "--recipe", "--set", "--seeds", "--only", "--folder", "--table"},
}
HEADS = {"list": set(), "show": {"--expression", "--out"}, "install": {"--name"}, "remove": set()}


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


def shown_by_help(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        run([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "name", "options"),
    [("bench", name, options) for name, options in BENCHES.items()]
    + [("head", name, options) for name, options in HEADS.items()],
)
def test_help_of_a_nested_command_shows_its_own_options_alone(
    verb: str, name: str, options: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = shown_by_help(verb, name, capsys=capsys)
    assert f"usage: gaussavatar {verb} {name}" in shown
    assert set(re.findall(r"^\W*(?:-h, )?(--[a-z][a-z-]*)", shown, re.MULTILINE)) == options | {"--help"}


@pytest.mark.parametrize(("verb", "names"), [("bench", BENCHES), ("head", HEADS)])
def test_help_of_a_verb_lists_its_commands(
    verb: str, names: dict[str, set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.findall(r"• (\S+)", shown_by_help(verb, capsys=capsys)) == list(names)


def test_a_verb_without_a_command_takes_its_first() -> None:
    assert parse(["bench"]) == parse(["bench", "raster"])
    assert parse(["head"]) == parse(["head", "list"])


def test_options_reach_their_command() -> None:
    bench = parse(["bench", "ablations", "--video", "a.mp4", "--set", "seed=1", "x=2", "--seeds", "3", "--out", "o"])
    assert (bench.what.video, bench.what.set, bench.what.seeds) == (Path("a.mp4"), ("seed=1", "x=2"), 3)
    assert bench.what.out == Path("o") and bench.what.recipe == "preview"
    head = parse(["head", "show", "ict", "--expression", "jawOpen=1", "a=2", "--out", "x.png"])
    assert (head.action.name, head.action.expression) == ("ict", ("jawOpen=1", "a=2"))


def test_fit_and_track_share_what_is_asked_of_a_clip() -> None:
    words = ["a.mp4", "--set", "x=1", "--focal", "900", "--av-offset", "40", "--head", "h", "--seg-model", "m"]
    fit, track = parse(["fit", *words]), parse(["track", *words])
    assert fit.request() == track.request()
    asked = fit.request()
    assert (asked.focal, asked.av_offset_ms, asked.head, asked.parser) == (900.0, 40.0, "h", Path("m"))
    assert asked.overrides == ("x=1",)
    words = "--recipe preview --subject A --consent self --seed 3 --device cpu --out o".split()
    asked = parse(["fit", "a.mp4", *words]).request()
    assert (asked.video, asked.out, asked.recipe) == (Path("a.mp4"), Path("o"), "preview")
    assert (asked.subject, asked.consent, asked.seed, asked.device) == ("A", "self", 3, "cpu")


def test_export_names_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    from gaussavatar.export.registry import WRITERS

    shown = " ".join(shown_by_help("export", capsys=capsys).replace("│", " ").split())
    assert all(f"{name}: {writer.holds}" in shown for name, writer in WRITERS.items())
    assert all(option.meaning in shown for writer in WRITERS.values() for option in writer.options.values())


def documented(page: Path) -> list[str]:
    """Commands in the code blocks of a page, lines that end with a backslash joined."""
    blocks = "".join(re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    lines = [line.strip() for line in blocks.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("gaussavatar ")]


@pytest.mark.parametrize("command", [command for page in PAGES for command in documented(page)])
def test_commands_in_the_documentation_are_understood(command: str) -> None:
    assert hasattr(parse(shlex.split(command, comments=True)[1:]), "run")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_named_in_the_documentation_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in re.findall(r"`gaussavatar ((?:bench|head) [a-z]+|[a-z]+)", page.read_text()):
        assert f"usage: gaussavatar {words}" in shown_by_help(*words.split(), capsys=capsys)


@pytest.mark.parametrize(
    "words", [["--help"], *([*verb.split(), "--help"] for verb in (*VERBS, "bench raster", "head show"))]
)
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
        (["bench", "voice"], "--audio"),
        (["bench", "raster", "--audio", "a.wav"], "bench voice"),
        (["bench", "rasta"], "raster"),
        (["head", "install"], "PATH"),
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
