"""What every export format is given, by one that is planted: a motion as the means of its Gaussians."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.load import load_avatar
from gaussavatar.cli.export import Export
from gaussavatar.errors import UserError
from gaussavatar.export import registry
from gaussavatar.export.writer import Choice, InputFile, Option, Switch, Writer

MODULE = """
import numpy as np

def write(path, states, motion, *, scale):
    means = np.stack([state.means.numpy() * scale for state in states])
    np.savez(path, means=means, poses=motion.T_camera_world)
    return means.shape[1]
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "planted_format.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    options = {"scale": Option(1.0, 0.1, 1000.0, "units per metre")}
    writer = Writer("a motion", moves=True, suffix=".npz", module="planted_format", options=options)
    monkeypatch.setitem(registry.WRITERS, "means", writer)
    yield "means"
    sys.modules.pop("planted_format", None)


def test_a_format_that_moves_gets_every_frame_and_its_pose(planted: str, toy_avatar: Path, tmp_path: Path) -> None:
    filmed = load_avatar(toy_avatar).filmed
    path, count = registry.export_avatar(toy_avatar, planted, tmp_path / "all.npz")
    whole = np.load(path)
    assert count == 460 and whole["means"].shape == (len(filmed), 460, 3)
    np.testing.assert_array_equal(whole["poses"], filmed.T_camera_world)
    part = filmed.frames(10, 14)
    path, _ = registry.export_avatar(toy_avatar, planted, tmp_path / "part.npz", part, {"scale": 100.0})
    np.testing.assert_allclose(np.load(path)["means"], whole["means"][10:14] * 100, rtol=1e-5)
    assert np.abs(np.diff(whole["means"], axis=0)).max() > 1e-4, "it moves"


def test_options_are_those_of_the_format(planted: str, toy_avatar: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    for options, part in (({"faintest": 0.1}, "scale"), ({"scale": 0.0}, "0.1 to 1000"), ({"scale": np.nan}, "nan")):
        with pytest.raises(UserError, match=part):
            registry.export_avatar(toy_avatar, planted, out, options=options)
    assert not out.exists()


def test_a_whole_format_gets_the_avatar_and_its_settings_in_words(
    toy_avatar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "def write(path, avatar, motion, tell, **o):\n"
    module += "    path.write_text(f'{avatar.record.subject} {sorted(o.items())}')"
    (tmp_path / "planted_whole.py").write_text(module + "\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    options = {"q": Choice("b", ("a", "b"), ""), "s": Switch(""), "f": InputFile("")}
    writer = Writer("all", moves=True, suffix=".txt", module="planted_whole", options=options, whole=True)
    monkeypatch.setitem(registry.WRITERS, "all", writer)
    path, _ = registry.export_avatar(toy_avatar, "all", tmp_path / "x.txt", options={"q": "a", "s": "true"})
    assert path.read_text() == "nobody [('f', None), ('q', 'a'), ('s', True)]"
    for wrong, part in (({"q": "c"}, "one of a, b"), ({"s": "perhaps"}, "s=true"), ({"f": "nowhere.wav"}, "no such")):
        with pytest.raises(UserError, match=part):
            registry.export_avatar(toy_avatar, "all", tmp_path / "y.txt", options=wrong)


def test_the_file_is_named_after_avatar_and_format(
    planted: str, toy_avatar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert registry.export_avatar(toy_avatar, planted)[0] == Path("toy.npz")


def test_formats_are_known_without_numpy() -> None:
    code = (
        "import sys\nfrom gaussavatar.export.registry import WRITERS\n"
        "print('ply' in WRITERS, [name for name in ('numpy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"


def test_an_unknown_format_is_answered_with_all_there_are() -> None:
    with pytest.raises(UserError, match="ply, .*, web, png, gif, .*'nope'"):
        Export(format="nope").run()
