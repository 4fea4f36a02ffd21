"""How a person moves on a page: as filmed, by their own blinks, by tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussavatar.avatar.arkit import ArkitMap, channel_rows, seen_codes
from gaussavatar.avatar.curves import motion_of_file
from gaussavatar.avatar.driving import over_filmed
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.export.gsa.contents import blink_habit
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS, ArkitCurves, write_curves
from gaussavatar.motion.blinks import learn_blinks
from gaussavatar.motion.poses import between_poses, deviated
from gaussavatar.motion.track import MotionTrack
from tests.web.arrays import write_arrays

NAMES = ("blink_left", "blink_right", "brow_inner", "gaze_x")
FRAMES, CODES = 400, 5


@pytest.fixture(scope="module")
def person(toy_avatar: Path) -> LoadedAvatar:
    """An avatar whose head, lids and lips move in every frame, with a map from ARKit's curves."""
    toy, rng, t = load_avatar(toy_avatar), np.random.default_rng(4), np.arange(FRAMES) / 25
    codes = (np.sin(t[:, None] * np.arange(1, CODES + 1)) + 0.1 * rng.standard_normal((FRAMES, CODES))).astype(
        np.float32
    )
    upper = np.stack([*[np.zeros(FRAMES)] * 2, 0.2 + 0.1 * np.sin(t), 0.3 * np.cos(t)], 1)
    for start in range(40, FRAMES - 40, 47):
        upper[start : start + 7, :2] = np.array([0.3, 0.9, 1, 0.7, 0.4, 0.2, 0.1])[:, None] * [1, 0.9]
    turns = 0.15 * np.stack([np.sin(0.7 * t), np.sin(1.1 * t + 1), 0.4 * np.cos(t)], 1)
    mean = np.array([[1, 0, 0, 0.01], [0, 0, -1, 0], [0, 1, 0, 0.7], [0, 0, 0, 1]], float)
    poses = deviated(mean, np.concatenate([turns, 0.01 * turns], 1))
    filmed = MotionTrack(codes, upper.astype(np.float32), poses, np.arange(FRAMES), upper_names=NAMES, avatar="abcdef")
    mouth = (0.6 * rng.standard_normal((52, CODES))).astype(np.float32)
    seen, rest = seen_codes(codes), (codes[0], filmed.upper[0])
    fitted = ArkitMap(*rest, mouth, channel_rows(NAMES), *seen, np.ones(CODES, np.float32))
    return replace(toy, filmed=filmed, arkit=fitted, record=replace(toy.record, upper_names=NAMES))


@pytest.fixture
def moved(script: Callable[..., list[Any]], person: LoadedAvatar, tmp_path: Path) -> Callable[..., list[Any]]:
    """Runs jobs of ``motion.mjs`` with the person's file."""

    def run(*jobs: dict[str, Any]) -> list[Any]:
        assert person.arkit is not None
        filmed = person.filmed
        meta = {"fps": 25, "upper_names": NAMES, "blink": blink_habit(person), "identity": filmed.avatar}
        arrays = {
            "drive.closed": np.linspace(-1, 1, CODES), "drive.rest_upper": person.resting_upper,
            "track.codes": filmed.mouth_codes, "track.upper": filmed.upper, "track.pose": filmed.T_camera_world[:, :3],
            **person.arkit.arrays(),
        }  # fmt: skip
        avatar = write_arrays(tmp_path / "avatar", {k: v.astype(np.float32) for k, v in arrays.items()}, meta)
        (tmp_path / "jobs.json").write_text(json.dumps(jobs))
        return script("motion.mjs", avatar, tmp_path / "jobs.json")

    return run


def column(frames: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([frame[name] for frame in frames])


def test_the_head_goes_back_and_forth_as_in_the_program_and_evenly_between_frames(
    moved: Callable, person: LoadedAvatar
) -> None:
    frames = np.arange(0, 900, 7)
    lips = [0.5] * CODES
    speak = {"from": 0, "to": 100, "codes": lips}
    job = {"task": "frames", "seed": 1, "speak": speak, "seconds": (frames / 25).tolist()}
    (told, between) = moved(job, {**job, "seconds": [4.01, 4.03]})
    track = over_filmed(person, np.zeros((900, CODES), np.float32)).taken(frames)
    assert column(told, "place").tolist() == track.places.tolist() and track.places.ptp() > 300
    np.testing.assert_allclose(column(told, "pose"), track.T_camera_world[:, :3].reshape(-1, 12), atol=1e-6)
    np.testing.assert_allclose(column(told, "upper"), track.upper, atol=1e-6)
    np.testing.assert_allclose(column(told, "codes"), np.tile(lips, (len(frames), 1)), atol=1e-6)
    first, second = (
        over_filmed(person, np.zeros((102, CODES), np.float32)).T_camera_world[100:].repeat(2, 0).reshape(2, 2, 4, 4)
    )
    half = between_poses(first, second, np.array([0.25, 0.75]))
    np.testing.assert_allclose(column(between, "pose"), half[:, :3].reshape(-1, 12), atol=1e-5)


def test_silence_has_closed_lips_and_blinks_with_the_persons_habit(moved: Callable, person: LoadedAvatar) -> None:
    minutes = 12
    seconds = (np.arange(minutes * 60 * 25) / 25).tolist()
    job = {"task": "frames", "seed": 7, "seconds": seconds}
    told, again, other = moved(job, {**job, "seconds": seconds[:3000]}, {**job, "seed": 8, "seconds": seconds[:3000]})
    lids, habit = column(told, "upper")[:, :2], learn_blinks(person.filmed.upper[:, :2], 25)
    assert habit.learnt
    np.testing.assert_allclose(column(told, "codes"), np.tile(np.linspace(-1, 1, CODES), (len(told), 1)), atol=1e-6)
    np.testing.assert_allclose(
        column(told, "upper")[:, 2:], np.tile(person.resting_upper[2:], (len(told), 1)), atol=1e-6
    )
    starts = np.flatnonzero((lids[1:, 0] > 0.5) & (lids[:-1, 0] <= 0.5)) / 25
    gaps = np.log(np.diff(starts))
    assert gaps.mean() == pytest.approx(habit.log_interval, abs=0.12) and np.diff(starts).min() > 0.25
    assert gaps.std() == pytest.approx(habit.spread, abs=0.12)
    assert lids.max() == pytest.approx(habit.shapes.max() + person.resting_upper[:2].max(), abs=0.1)
    np.testing.assert_array_equal(column(again, "upper"), column(told, "upper")[:3000])
    assert np.abs(column(other, "upper") - column(again, "upper")).max() > 0.5
    assert np.abs(lids[:1500] - lids[1500:3000]).max() > 0.5


def test_lips_and_lids_go_over_without_a_jump_when_silence_falls(moved: Callable, person: LoadedAvatar) -> None:
    seconds = (np.arange(0, 4, 0.01)).tolist()
    job = {"task": "frames", "seed": 3, "seconds": seconds, "speak": {"from": 1, "to": 2, "codes": [2.0] * CODES}}
    (told,) = moved(job)
    codes, brow = column(told, "codes"), column(told, "upper")[:, 2:]
    assert (codes[101:199] == 2).all(), "speech is never late"
    assert np.abs(np.diff(codes[199:], axis=0)).max() < 0.15 and np.abs(np.diff(brow, axis=0)).max() < 0.02
    np.testing.assert_allclose(codes[-1], np.linspace(-1, 1, CODES), atol=1e-6)


def test_a_saved_motion_plays_as_it_was_and_then_silence_follows(
    moved: Callable, person: LoadedAvatar, tmp_path: Path
) -> None:
    track = replace(person.filmed.taken(np.arange(30, 90)), fps=30.0)
    track.save(tmp_path / "motion.csv")
    middles = ((np.arange(1, 59) + 0.5) / 30).tolist()
    job = {
        "task": "table",
        "path": str(tmp_path / "motion.csv"),
        "before": 3.0,
        "seconds": [0, *middles, 1.99, 2.01, 2.6],
    }
    (told,) = moved(job)
    frames = told["frames"][1:-3]
    assert (told["count"], told["fps"], told["playing"]) == (60, 30, False)
    np.testing.assert_allclose(column(frames, "pose"), track.T_camera_world[1:59, :3].reshape(-1, 12), atol=2e-6)
    assert column(frames, "place").tolist() == track.places[1:59].tolist() and all(column(frames, "own"))
    # Within the first .4 s what was before fades out.
    np.testing.assert_allclose(column(frames, "codes")[14:], track.mouth_codes[15:59], atol=1e-5)
    np.testing.assert_allclose(column(frames, "upper")[14:], track.upper[15:59], atol=1e-5)
    np.testing.assert_allclose(told["frames"][-1]["codes"], np.linspace(-1, 1, CODES), atol=1e-5)
    assert not told["frames"][-1]["own"]


@pytest.mark.parametrize(("fps", "head"), [(60.0, True), (30.0, False), (29.97, False)])
def test_arkit_curves_move_as_in_the_program(
    moved: Callable, person: LoadedAvatar, tmp_path: Path, fps: float, head: bool
) -> None:
    rng, t = np.random.default_rng(1), np.arange(150) / fps
    values = np.clip(0.5 + 0.5 * np.sin(t[:, None] * rng.uniform(1, 9, 52)), 0, 1) * rng.uniform(0.1, 1, 52)
    turns = (0.2 * np.sin(t[:, None] * [1, 2, 3])).astype(np.float32) if head else None
    path = tmp_path / "curves.csv"
    write_curves(path, ArkitCurves(values.astype(np.float32), fps, turns))
    track = motion_of_file(person, path)
    seconds = ((np.arange(60, 140) + 0.5) / track.fps).tolist()
    (told,) = moved({"task": "table", "path": str(path), "seconds": [0, *seconds]})
    frames = told["frames"][1:]
    assert told["count"] == len(track) and told["fps"] == pytest.approx(track.fps, rel=1e-3)
    np.testing.assert_allclose(column(frames, "codes"), track.mouth_codes[60:140], atol=1e-3)
    np.testing.assert_allclose(column(frames, "upper"), track.upper[60:140], atol=1e-3)
    if head:
        np.testing.assert_allclose(column(frames, "pose"), track.T_camera_world[60:140, :3].reshape(-1, 12), atol=2e-3)
    outside = np.abs((track.mouth_codes - person.arkit.mean) @ person.arkit.whiten)
    assert outside.max() > 1 and ARKIT_EXPRESSIONS[24] == "jawOpen"


def test_frames_that_a_phone_dropped_keep_the_rest_in_time(
    moved: Callable, person: LoadedAvatar, tmp_path: Path
) -> None:
    values = np.tile(np.linspace(0, 1, 120, dtype=np.float32)[:, None], (1, 52))
    path = tmp_path / "curves.csv"
    write_curves(path, ArkitCurves(values, 60.0))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:40] + lines[70:]))
    track = motion_of_file(person, path)
    (told,) = moved({"task": "table", "path": str(path), "seconds": [0, *((np.arange(30, 110) + 0.5) / 60).tolist()]})
    assert told["count"] == len(track) == 120
    np.testing.assert_allclose(column(told["frames"][1:], "codes"), track.mouth_codes[30:110], atol=1e-3)


def test_tables_that_cannot_move_are_refused_in_one_sentence(
    moved: Callable, person: LoadedAvatar, tmp_path: Path
) -> None:
    good, cases = tmp_path / "good.csv", {}
    person.filmed.frames(0, 20).save(good)
    text = good.read_text()
    header, *rows = text.splitlines()
    cases["nothing"] = ("", "no rows")
    cases["no curves"] = ("a,b\n1,2", "neither")
    cases["other avatar"] = (text.replace("avatar abcdef", "avatar 123456"), "another avatar")
    cases["no codes"] = (text.replace("mouth_3", "mouth_x"), "another avatar")
    cases["word"] = ("\n".join([header, rows[0].replace(rows[0].split(",")[3], "much", 1)]), "no number")
    cases["place"] = ("\n".join([header, *rows]).replace(",12,25,", ",4000,25,"), "another avatar")
    cases["no time"] = (f"{','.join(ARKIT_EXPRESSIONS)}\n{','.join(['0'] * 52)}", "Timecode or fps")
    for name, (content, _) in cases.items():
        (tmp_path / f"{name}.csv").write_text(content)
    jobs = [{"task": "table", "path": str(tmp_path / f"{name}.csv"), "seconds": [0]} for name in cases]
    for (name, (_, word)), answer in zip(cases.items(), moved(*jobs), strict=True):
        assert word in answer.get("error", "it was taken"), name
        assert answer["error"].endswith(".") and len(answer["error"]) < 120
