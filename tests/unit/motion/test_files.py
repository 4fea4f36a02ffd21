"""Motions as files: what a spreadsheet does to them is understood, and what is wrong is named with column and row."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS, LIVE_LINK_ORDER, ArkitCurves, timecode, write_curves
from gaussavatar.motion.files import read_motion
from gaussavatar.motion.poses import posed
from gaussavatar.motion.sheet import pose_numbers, poses_of_numbers
from gaussavatar.motion.track import MotionTrack


def made_up(n: int = 12, fps: float = 25.0, avatar: str = "12345678e9012345") -> MotionTrack:
    random = np.random.default_rng(1)
    poses = posed(random.normal(size=(n, 3)) * 0.4, random.normal(size=(n, 3)) * 0.1 + [0, 0, 0.6]).astype(np.float32)
    codes, upper = random.normal(size=(n, 11)).astype(np.float32), random.random((n, 2)).astype(np.float32)
    moved = random.random((n, 1)).astype(np.float32)
    places = random.integers(0, 900, n)
    return MotionTrack(codes, upper, poses, places, fps, ("blink_left", "squint"), avatar, moved, ("jawOpen",))


def assert_same(a: MotionTrack, b: MotionTrack) -> None:
    assert (a.fps, a.upper_names, a.avatar, a.movement_names) == (b.fps, b.upper_names, b.avatar, b.movement_names)
    for name, array in a.arrays().items():
        if name == "T_camera_world":
            assert np.allclose(array, b.T_camera_world, atol=2e-7)
        else:
            assert np.array_equal(array, getattr(b, name)), name


@pytest.mark.parametrize("fps", [25.0, 29.97, 60.0])
def test_a_table_keeps_every_number(tmp_path: Path, fps: float) -> None:
    track = made_up(fps=fps)
    for name in ("m.csv", "m.safetensors"):
        track.save(tmp_path / name)
        assert_same(track, MotionTrack.load(tmp_path / name))
        again = read_motion(tmp_path / name)
        assert isinstance(again, MotionTrack)
        assert_same(track, again)


def test_a_file_is_told_by_what_is_in_it(tmp_path: Path) -> None:
    track = made_up()
    track.save(tmp_path / "a.csv")
    (tmp_path / "a.csv").rename(tmp_path / "a.safetensors")
    assert_same(track, MotionTrack.load(tmp_path / "a.safetensors"))


def test_the_pose_reads_as_people_say_it() -> None:
    face = np.array([0.0, 0.0, -1.0])
    for turned, where in (((10, 0, 0), (1, 0)), ((0, 10, 0), (0, -1))):
        T = poses_of_numbers(np.array([[*turned, 0, 0, 0.5]]))[0]
        looks = T[:3, :3] @ face
        assert looks[:2] @ where == pytest.approx(np.sin(np.radians(10)), abs=1e-6)
        assert np.allclose(pose_numbers(T[None])[0], [*turned, 0, 0, 0.5], atol=1e-5)
    top = poses_of_numbers(np.array([[0, 0, 10, 0, 0, 0.5]]))[0, :3, :3] @ [0, -1, 0]
    assert top[0] > 0.1, "a head that rolls clockwise leans to the picture's right"


def spreadsheet(text: str, kind: str) -> bytes:
    """What programs make of a table when they save it."""
    rows = list(csv.reader(text.splitlines()))
    if kind == "european":
        lines = [";".join(cell.replace(".", ",") for cell in row) for row in rows]
        return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()
    if kind == "tabs in UTF-16":
        return ("\r\n".join("\t".join(row) for row in rows)).encode("utf-16")
    if kind == "blank lines and columns":
        lines = [",".join([*row, "", ""]) for row in rows]
        return ("\n\n" + "\n,,,\n".join(lines) + "\n,,,,\n\n").encode()
    if kind == "old Mac":
        return "\r".join(",".join(row) for row in rows).encode()
    if kind == "sep line and quotes":
        return ("sep=;\n" + "\n".join(";".join(f'"{cell}"' for cell in row) for row in rows)).encode()
    if kind == "decimal commas in quotes":
        return "\n".join(",".join(f'"{cell.replace(".", ",")}"' for cell in row) for row in rows).encode()
    assert kind == "columns moved"
    return "\n".join(",".join(row[::-1]) for row in rows).encode()


@pytest.mark.parametrize(
    "kind",
    [
        "european", "tabs in UTF-16", "blank lines and columns", "old Mac", "sep line and quotes",
        "decimal commas in quotes", "columns moved",
    ],
)  # fmt: skip
def test_what_spreadsheets_write_is_read(tmp_path: Path, kind: str) -> None:
    track = made_up()
    track.save(tmp_path / "m.csv")
    saved = (tmp_path / "m.csv").read_text()
    (tmp_path / "s.csv").write_bytes(spreadsheet(saved, kind))
    read = MotionTrack.load(tmp_path / "s.csv")
    if kind == "columns moved":
        assert read.upper_names == track.upper_names[::-1]
        read = replace(read, upper=read.upper[:, ::-1].copy(), upper_names=track.upper_names)
    assert_same(track, read)


def test_deleted_rows_are_a_cut_and_columns_of_notes_are_passed_over(tmp_path: Path) -> None:
    track = made_up()
    track.save(tmp_path / "m.csv")
    lines = (tmp_path / "m.csv").read_text().splitlines()
    kept = [f"{line},note" for line in (lines[0], *lines[4:9])]
    (tmp_path / "m.csv").write_text("\n".join(kept))
    assert_same(track.frames(3, 8), MotionTrack.load(tmp_path / "m.csv"))


def cells(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        ("mouth_3", 7, "abc", "a number in column mouth_3, row 7 of"),
        ("mouth_3", 7, "", "an empty cell"),
        ("mouth_3", 7, "01.Feb", "got '01.Feb'"),
        ("upper_squint", 2, "nan", "a finite number in column upper_squint, row 2"),
        ("place", 5, "3.5", "a whole number from 0 in column place, row 5"),
        ("place", 5, "-1", "a whole number from 0"),
        ("frame", 9, "2", "a frame above 6 in column frame, row 9"),
        ("fps", 4, "30", "one frame rate of 1 to 1000 in all rows in column fps, row 4"),
        ("format", 4, "gaussavatar motion 7", "update gaussavatar"),
        ("avatar", 4, "avatar other", "one avatar"),
        ("mouth_10", 1, "mouth10", "is mouth10 meant?"),
        ("mouth_4", 1, "note", "a column mouth_4 in row 1"),
        ("pitch_degrees", 1, "pitch", "a column pitch_degrees"),
        ("mouth_4", 1, "mouth_5", "one column of each name"),
    ],
)
def test_a_wrong_cell_is_named_with_column_row_and_reason(
    tmp_path: Path, column: str, row: int, value: str, said: str
) -> None:
    path = tmp_path / "m.csv"
    made_up().save(path)
    table = cells(path)
    table[row - 1][table[0].index(column)] = value
    path.write_text("\n".join(",".join(line) for line in table))
    if column == "mouth_10":
        # The last one of the codes cannot be missed by its number alone.
        table[0][table[0].index("mouth10")] = "mouth_12"
        path.write_text("\n".join(",".join(line) for line in table))
        said = "a column mouth_10"
    with pytest.raises(UserError) as caught:
        MotionTrack.load(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["nothing", "picture", "letter", "other table", "header alone", "latin", "too wide"])
def test_what_is_no_motion_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.csv"
    made_up().save(path)
    first = path.read_text().splitlines()[0]
    content = {
        "nothing": b"",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "letter": b"Dear Sir or Madam,\nthis is not a motion.\n",
        "other table": b"name,age\nAda,36\n",
        "header alone": first.encode(),
        "latin": first.replace("place", "plac\u00e9").encode("latin-1"),
        "too wide": f"{first}\n{'1,' * 60}".encode(),
    }[kind]
    path.write_bytes(content)
    for read in (MotionTrack.load, read_motion):
        with pytest.raises(UserError) as caught:
            read(path)
        assert "\n" not in str(caught.value) and "m.csv" in str(caught.value)


def curves(n: int = 90, fps: float = 30.0) -> ArkitCurves:
    random = np.random.default_rng(0)
    values = random.random((n, 52)).astype(np.float32).round(4)
    return ArkitCurves(values, fps, (random.normal(size=(n, 3)) * 0.1).astype(np.float32).round(4))


@pytest.mark.parametrize("fps", [25.0, 30.0, 60.0, 29.97])
def test_curves_are_written_and_read_in_live_link_order(tmp_path: Path, fps: float) -> None:
    wanted = curves(fps=fps)
    write_curves(tmp_path / "c.csv", wanted)
    header = (tmp_path / "c.csv").read_text().splitlines()[0].split(",")
    assert header[:4] == ["Timecode", "BlendshapeCount", "EyeBlinkLeft", "EyeLookDownLeft"] and len(header) == 63
    assert sorted(LIVE_LINK_ORDER) == sorted(ARKIT_EXPRESSIONS)
    read = read_motion(tmp_path / "c.csv")
    assert isinstance(read, ArkitCurves) and read.missing == ()
    assert read.fps == pytest.approx(fps, rel=1.2e-3) and len(read) == 90
    assert np.allclose(read.values, wanted.values, atol=1e-6) and read.head is not None
    assert np.allclose(read.head, wanted.head, atol=1e-6)


def test_eyes_turn_as_they_look(tmp_path: Path) -> None:
    """To the person's left and down: both eyes' yaw and pitch grow."""
    values = np.zeros((1, 52), np.float32)
    for name in ("eyeLookOutLeft", "eyeLookInRight", "eyeLookDownLeft", "eyeLookDownRight"):
        values[0, ARKIT_EXPRESSIONS.index(name)] = 0.5
    write_curves(tmp_path / "c.csv", ArkitCurves(values, 30.0))
    header, row = ((line.split(",")) for line in (tmp_path / "c.csv").read_text().splitlines())
    turned = {name: float(row[header.index(name)]) for name in header[-6:]}
    for eye in ("LeftEye", "RightEye"):
        assert turned[f"{eye}Yaw"] == turned[f"{eye}Pitch"] == pytest.approx(np.radians(15), abs=1e-5)
        assert turned[f"{eye}Roll"] == 0


def table_of(names: list[str], rows: np.ndarray, times: list[str] | None = None) -> str:
    times = times or [f"{index / 30:.4f}" for index in range(len(rows))]
    lines = [",".join(["timeCode", *names])]
    lines += [",".join([time, *map(str, row)]) for time, row in zip(times, rows.tolist(), strict=True)]
    return "\n".join(lines)


def test_other_orders_spellings_percent_and_missing_columns_are_understood(tmp_path: Path) -> None:
    kept = [name for name in ARKIT_EXPRESSIONS[::-1] if name not in ("tongueOut", "cheekPuff")]
    spelled = [f"blendShapes.{name[0].upper()}{name[1:]}" for name in kept]
    spelled[kept.index("mouthSmileLeft")] = "mouthSmile_L"
    values = np.random.default_rng(0).random((20, len(kept))).round(4)
    (tmp_path / "c.csv").write_text(table_of(spelled, 100 * values))
    read = read_motion(tmp_path / "c.csv")
    assert isinstance(read, ArkitCurves) and read.fps == 30 and set(read.missing) == {"tongueOut", "cheekPuff"}
    for column, name in enumerate(kept):
        assert np.allclose(read.values[:, ARKIT_EXPRESSIONS.index(name)], values[:, column], atol=1e-5), name


def test_frames_that_a_phone_dropped_are_filled(tmp_path: Path) -> None:
    write_curves(tmp_path / "c.csv", curves())
    lines = (tmp_path / "c.csv").read_text().splitlines()
    (tmp_path / "d.csv").write_text("\n".join(lines[:20] + lines[23:]))
    read = read_motion(tmp_path / "d.csv")
    assert isinstance(read, ArkitCurves) and len(read) == 90 and read.fps == 30
    assert np.allclose(read.values[30:], curves().values[30:], atol=1e-5)


def test_json_of_programs_is_read(tmp_path: Path) -> None:
    values = curves(40).values
    audio2face = {"exportFps": 60, "facsNames": list(ARKIT_EXPRESSIONS), "weightMat": values.tolist()}
    lam = {
        "names": list(ARKIT_EXPRESSIONS),
        "metadata": {"fps": 30.0},
        "frames": [{"weights": row, "time": index / 30} for index, row in enumerate(values.tolist())],
    }
    for content, fps in ((audio2face, 60), (lam, 30)):
        (tmp_path / "c.json").write_text(json.dumps(content))
        read = read_motion(tmp_path / "c.json")
        assert isinstance(read, ArkitCurves) and read.fps == fps and np.allclose(read.values, values, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("JawOpen", "Jaw"), "a column jawOpen"),
        (lambda text: text.replace("Timecode", "When"), "a column of moments"),
        (lambda text: text.replace("00:00:01:05", "late"), "a timecode such as"),
        (lambda text: re.sub(r",61,[^,]*", ",61,x", text, count=1), "a number in column EyeBlinkLeft, row"),
        (lambda text: re.sub(r",61,[^,]*", ",61,9999", text, count=1), "values up to 9999"),
        (lambda text: "\n".join([*text.splitlines()[:9], text.splitlines()[2]]), "a moment after the one before"),
        (lambda text: '{"weightMat": [[1]]}', "other JSON"),
        (lambda text: '{"weightMat": ', "a damaged file"),
    ],
)
def test_wrong_curves_are_refused_in_one_line(tmp_path: Path, change, said: str) -> None:  # noqa: ANN001
    write_curves(tmp_path / "c.csv", curves())
    (tmp_path / "c.csv").write_text(change((tmp_path / "c.csv").read_text()))
    with pytest.raises(UserError) as caught:
        read_motion(tmp_path / "c.csv")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_curves_at_another_rate_last_as_long(tmp_path: Path) -> None:
    slow = curves(120, 60.0).at_fps(25.0)
    assert len(slow) == 50 and slow.fps == 25 and slow.values.max() <= 1 and slow.values.min() >= 0
    assert [timecode(frame, 60.0) for frame in (0, 59, 60, 3600 * 60)] == [
        "00:00:00:00.000", "00:00:00:59.000", "00:00:01:00.000", "01:00:00:00.000",
    ]  # fmt: skip
