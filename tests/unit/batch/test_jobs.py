"""Rows are commands: their options are those of the verbs, and what they read and write says what waits for what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gaussavatar.batch.jobs import Row, read_jobs, waits_for
from gaussavatar.cli.batch import Checked, verb_options
from gaussavatar.cli.main import parse
from gaussavatar.errors import UserError

Rows = Callable[..., list[Row]]

ALL = """
defaults:
  fit: {recipe: preview, consent: written}
  speak: {background: '#00b140'}
rows:
  - {verb: speak, avatar: avatars/anna, audio: hello.wav, from: 1, expression: [squint=0.5, brow=1], name: hello}
  - {verb: fit, video: clips/anna.mp4, subject: 'Anna B.'}
  - {verb: evaluate, avatar: avatars/anna, save-frames: frames}
  - {verb: export, avatar: avatars/anna, format: web, split: true, out: page}
  - {verb: speak, avatar: elsewhere, audio: hello.wav, out: other.mp4, background: plate, head: talks/head.csv}
"""


def test_rows_are_the_commands_that_a_user_would_type(rows: Rows, tmp_path: Path) -> None:
    hello, anna, figures, page, other = rows(ALL)
    assert hello.name == "hello" and anna.name == "fit-anna" and figures.name == "evaluate-anna"
    fit = parse(anna.words())
    assert (fit.video, fit.out, fit.recipe, fit.subject, fit.consent) == (
        tmp_path / "clips/anna.mp4", tmp_path / "avatars/anna", "preview", "Anna B.", "written")  # fmt: skip
    said = parse(hello.words())
    assert (said.audio, said.avatar, said.start) == ((tmp_path / "hello.wav",), tmp_path / "avatars/anna", 1.0)
    assert said.out == tmp_path / "anna-hello.mp4" and said.background == "#00b140"
    assert said.controls.expression == ("squint=0.5", "brow=1")
    shown = parse(page.words({page.out: "/here/page"}))
    assert shown.split and shown.out == Path("/here/page") and shown.format == "web"
    assert parse(figures.words()).save_frames == tmp_path / "frames"
    assert other.reads == tuple(str(tmp_path / name) for name in ("elsewhere", "hello.wav", "talks/head.csv"))


def test_a_row_waits_for_those_that_write_what_it_reads(rows: Rows, tmp_path: Path) -> None:
    waiting = {"hello", "evaluate-anna", "export-page"}
    expected = {"fit-anna": (), "speak-other": (), **dict.fromkeys(waiting, ("fit-anna",))}
    assert waits_for(rows(ALL)) == expected


def test_a_table_says_the_same(rows: Rows, tmp_path: Path) -> None:
    lines = ["verb,name,video,avatar,audio,expression,split,format,out", "fit,,a b.mp4,,,,,,"]
    lines += ['speak,,,avatars/a b,c.wav,"squint=0.5 brow=1",,,', "export,p,,avatars/a b,,,yes,web,page", ",,,,,,,,"]
    path = tmp_path / "jobs.csv"
    path.write_text("\ufeff" + "\r\n".join(lines))
    found, wrong = read_jobs(path, verb_options(), str(tmp_path), Checked())
    assert not wrong and [row.name for row in found] == ["fit-a-b", "speak-a-b-c", "p"]
    assert found[0].out == str(tmp_path / "avatars/a b") and found[1].out == str(tmp_path / "a b-c.mp4")
    assert parse(found[1].words()).controls.expression == ("squint=0.5", "brow=1") and parse(found[2].words()).split


def test_places_stand_below_the_base(rows: Rows) -> None:
    text = "[{verb: fit, video: clips/a.mp4, out: /abs/a}, {verb: speak, avatar: gs://b/x, audio: s.wav}]"
    fit, speak = rows(text, "s3://bucket/summer/")
    assert fit.reads == ("s3://bucket/summer/clips/a.mp4",) and fit.out == "/abs/a"
    assert speak.value("avatar") == "gs://b/x" and speak.out == "s3://bucket/summer/x-s.mp4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{verb: speek}]", "row 1 of jobs.yaml: a verb: fit, speak, evaluate, export, got 'speek'"),
        ("[5]", "options by name"),
        ("[{verb: fit}]", "a video to fit"),
        ("[{verb: fit, video: a.mp4, recipi: x}]", "got 'recipi'"),
        ("[{verb: fit, video: a.mp4, seed: many}]", "options of gaussavatar fit"),
        ("[{verb: fit, video: a.mp4, device: [cpu]}]", "one value for device"),
        ("[{verb: speak, audio: a.wav}]", "an avatar"),
        ("[{verb: speak, avatar: a}]", "something to say"),
        ("[{verb: speak, avatar: a, text: hi}]", "name it in out"),
        ("[{verb: speak, avatar: a, audio: [b.wav, c.wav]}]", "one sound for audio, got 2"),
        ("[{verb: speak, avatar: a, audio: b.wav, part: hear}]", "no part"),
        ("[{verb: export, avatar: a, format: web}]", "name it in out"),
        ("[{verb: export, avatar: a, out: b, split: maybe}]", "true or false for split"),
        ("[{verb: fit, video: a.mp4, name: x}, {verb: fit, video: b.mp4, name: x}]", "a name of its own"),
        ("[{verb: fit, video: x/a.mp4}, {verb: fit, video: y/a.mp4}]", "which row 1 of jobs.yaml writes"),
        ("[{verb: fit, video: a.mp4, out: o}, {verb: export, avatar: z, out: o/x.ply}]", "lies in what row 1"),
        ("[{verb: export, avatar: z, out: o/x.ply}, {verb: fit, video: a.mp4, out: o}]", "lies in what row 2"),
        ("[{verb: speak, avatar: a, audio: b.mp4, out: b.mp4}]", "which it reads"),
        ("[{verb: evaluate, avatar: a}, {verb: evaluate, avatar: a}]", "an output of its own"),
    ],
)
def test_a_row_that_is_wrong_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    _, wrong = read_jobs(path, verb_options(), str(tmp_path), Checked())
    assert len(wrong) == 1 and said in str(wrong[0]) and "\n" not in str(wrong[0])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.txt", "x", "ends in .csv or .yaml"),
        ("jobs.yaml", "", "a list of rows"),
        ("jobs.yaml", "[]", "rows in"),
        ("jobs.yaml", "rows: [", "YAML"),
        ("jobs.yaml", "a: &a [1]\nrows: [*a]", "an alias"),
        ("jobs.yaml", "rows: []\nstore: x", "rows and defaults"),
        ("jobs.yaml", "defaults: {fitt: {}}\nrows: [1]", "defaults by verb"),
        ("jobs.yaml", "!!python/object:os.system {}", "YAML"),
        ("jobs.csv", "verb,video\nfit,a,b", "as many cells as columns in line 2"),
        ("jobs.csv", "verb,video\n", "rows in"),
    ],
)
def test_a_file_that_is_wrong_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        read_jobs(tmp_path / name, verb_options(), str(tmp_path), Checked())


def test_rows_that_wait_for_each_other_are_refused(rows: Rows) -> None:
    found = rows("[{verb: speak, avatar: a, motion: x.csv, save_motion: y.csv, out: a.mp4},"
                 " {verb: speak, avatar: a, motion: y.csv, save_motion: x.csv, out: b.mp4}]")  # fmt: skip
    with pytest.raises(UserError, match="a circle: speak-a, speak-b"):
        waits_for(found)
