"""Formats that hold a motion: a ply a frame, ARKit's curves, and what speak makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.export.registry import export_avatar
from gaussavatar.export.states import MotionWish
from gaussavatar.media.frames import read_frames
from gaussavatar.media.picture_series import write_gif
from gaussavatar.media.probe import probe
from gaussavatar.motion.files import read_motion


def test_a_sequence_has_the_states_that_single_files_have(toy_avatar: Path, tmp_path: Path) -> None:
    path, count = export_avatar(toy_avatar, "ply-sequence", tmp_path / "all", MotionWish(start=0.4, stop=0.56))
    assert count == 460 and [each.name for each in sorted(path.iterdir())] == [f"frame_00000{i}.ply" for i in range(4)]
    one, _ = export_avatar(toy_avatar, "ply", tmp_path / "one.ply", MotionWish(frame=12))
    assert (path / "frame_000002.ply").read_bytes() == one.read_bytes() != (path / "frame_000001.ply").read_bytes()
    export_avatar(toy_avatar, "ply-sequence", path, MotionWish(start=0.4, stop=0.48))
    assert len(list(path.iterdir())) == 2, "what an earlier, longer one left is gone"


def test_a_sequence_does_not_go_among_other_files(toy_avatar: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(UserError, match="a new folder"):
        export_avatar(toy_avatar, "ply-sequence", tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_curves_come_back_as_they_went(toy_avatar: Path, tmp_path: Path, capsys) -> None:  # noqa: ANN001
    out = tmp_path / "curves.csv"
    assert run(["export", str(toy_avatar), "--format", "arkit", "--out", str(out)]) == 0
    assert "30 frames of 52 curves" in capsys.readouterr().out
    curves = read_motion(out)
    assert len(curves) == 30 and curves.missing == ()
    blinks = curves.values[:, 8]
    assert blinks[11] > 0.5 > blinks[3], "the blink of the toy's track"
    assert run(["export", str(toy_avatar), "--format", "arkit", "--out", str(out), "--from", "0.4", "--to", "0.6"]) == 0
    np.testing.assert_allclose(read_motion(out).values, curves.values[10:15], atol=1e-5)


def test_pictures_and_gif_show_what_the_video_shows(toy_avatar: Path, tmp_path: Path) -> None:
    def export(kind: str, name: str, *more: str) -> Path:
        words = ["export", str(toy_avatar), "--format", kind, "--out", str(tmp_path / name), "--to", "0.32", *more]
        assert run(words) == 0
        return tmp_path / name

    video = list(read_frames(export("mp4", "x.mp4"), width=96, height=96, fps=None))
    pictures = sorted(export("png", "pictures").iterdir())
    assert len(video) == len(pictures) == 8
    with Image.open(pictures[5]) as image:
        assert "synthetic" in image.text["Comment"]
        assert np.abs(np.asarray(image).astype(int) - video[5]).mean() < 3
    with Image.open(export("gif", "x.gif")) as gif:
        assert gif.n_frames == 8 and gif.info["duration"] == 40 and b"synthetic" in gif.info["comment"]
        gif.seek(5)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - video[5]).mean() < 8


def test_pictures_can_be_transparent(toy_avatar: Path, tmp_path: Path) -> None:
    words = ["export", str(toy_avatar), "--format", "png", "--out", str(tmp_path), "--to", "0.08"]
    assert run([*words, "--background", "none"]) == 2, "the toy has no matte, and says so"


def test_videos_for_editors_have_alpha(toy_avatar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def speak(audio: Path | None, avatar: object, out: Path, progress: object, wish: object, *rest, **more) -> None:  # noqa: ANN002, ANN003
        asked[out.name] = wish.background

    monkeypatch.setattr("gaussavatar.speak.offline.speak", speak)
    for kind in ("mov", "webm", "mp4"):
        assert run(["export", str(toy_avatar), "--format", kind, "--out", str(tmp_path / f"x.{kind}")]) == 0
    assert asked == {"x.mov": "none", "x.webm": "none", "x.mp4": "plate"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--format", "mp4", "--frame", "3"], "--from and --to"),
        (["--format", "gif", "--set", "mouth=1"], "no --set"),
        (["--format", "webm", "--out", "x.mp4"], "ends in .webm"),
        (["--format", "gif", "--fps", "30", "--to", ".2"], "--fps 10, 20, 25 or 50"),
        (["--format", "ply", "--motion", "nowhere.csv"], "no such file"),
    ],
)
def test_wrong_words_get_one_line(
    toy_avatar: Path, tmp_path: Path, words: list[str], part: str, capsys, monkeypatch
) -> None:  # noqa: ANN001, E501
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(toy_avatar), *words]) == 2
    told = capsys.readouterr().err.splitlines()
    assert part in told[-1]
    assert not [each for each in tmp_path.iterdir() if each.suffix in (".gif", ".mp4", ".webm", ".ply")]


def test_a_gif_keeps_colours_that_come_late(tmp_path: Path) -> None:
    frames = [np.full((16, 16, 3), 40 + 5 * i, np.uint8) for i in range(30)]
    write_gif(tmp_path / "x.gif", frames, 20.0)
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.n_frames == 30 and gif.info["duration"] == 50
        gif.seek(29)
        assert abs(int(np.asarray(gif.convert("RGB")).mean()) - 185) < 25
    assert probe(tmp_path / "x.gif") is not None
