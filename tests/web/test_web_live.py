"""The live page's arithmetic in node: motion that Python packed, and which frame is heard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaussavatar.avatar.live.records import LiveMotion

FRAME = 1920
TURN = 2**32


def test_motion_comes_as_it_was_packed(script: Callable, tmp_path: Path) -> None:
    rng, motions, paths = np.random.default_rng(0), [], []
    for number, (m, u) in enumerate([(16, 7), (1, 0), (32, 30)]):
        pose = np.concatenate([Rotation.random(random_state=number).as_matrix(), rng.normal(size=(3, 1))], 1)
        codes, upper = (rng.normal(0, 2, n).astype(np.float32) for n in (m, u))
        motions.append(LiveMotion(codes, upper, pose.astype(np.float32), place=700 * number))
        paths.append(tmp_path / f"{number}.bin")
        paths[-1].write_bytes(motions[-1].packed(2**31 + number, speaking=number == 1))
    small = LiveMotion(np.float32([6e-6, -0.0, 65504.0]), np.zeros(0, np.float32), motions[0].T_camera_world, 0)
    paths.append(tmp_path / "small.bin")
    paths[-1].write_bytes(small.packed())
    paths.append(tmp_path / "together.bin")
    paths[-1].write_bytes(motions[1].packed(2**31 + 1, speaking=True) + motions[2].packed(2**31 + 2, ahead=True))
    *alone, together = script("live.mjs", "unpack", *paths)
    one, two = together
    assert [one] == alone[1] and two == {**alone[2][0], "ahead": True} and not one["ahead"]
    for number, (motion, (told,)) in enumerate(zip((*motions, small), alone, strict=True)):
        np.testing.assert_array_equal(told["codes"], motion.codes.astype(np.float16))
        np.testing.assert_array_equal(told["upper"], motion.upper.astype(np.float16))
        np.testing.assert_allclose(np.reshape(told["pose"], (3, 4)), motion.T_camera_world, atol=2e-3)
        assert told["place"] == motion.place and told["speaking"] == (number == 1)
        assert told["index"] == (2**31 + number if number < 3 else 0)


def test_what_is_no_motion_is_refused(script: Callable, tmp_path: Path) -> None:
    whole = LiveMotion(np.zeros(3, np.float32), np.zeros(2, np.float32), np.eye(3, 4, dtype=np.float32), 0).packed()
    for number, data in enumerate((b"", whole[:11], whole[:-1], whole + b"\0")):
        (tmp_path / f"{number}").write_bytes(data)
    told = script("live.mjs", "unpack", *(tmp_path / f"{n}" for n in range(4)))
    assert all("motion" in text for text in told), told


def heard(script: Callable, tmp_path: Path, calls: list[list[Any]]) -> list[Any]:
    (tmp_path / "calls.json").write_text(json.dumps(calls))
    return [
        line
        for line, call in zip(script("live.mjs", "heard", tmp_path / "calls.json"), calls, strict=True)
        if call[0] == "at"
    ]


@pytest.mark.parametrize("first", [5000, TURN - 3 * FRAME, TURN - 1], ids=["usual", "the clock begins anew", "odd"])
def test_the_frame_that_is_heard_follows_the_packets(script: Callable, tmp_path: Path, first: int) -> None:
    calls: list[list[Any]] = [["at", 0, 0], ["anchor", 100, first]]
    for packet in range(20):
        calls.append(["note", (first + 960 * packet) % TURN, 1000 + 20 * packet])
        # The same packet is told of again, for its second half.
        calls.append(["note", (first + 960 * packet) % TURN, 1010 + 20 * packet])
    calls += [["at", 1385, 0], ["at", 1385, 100], ["at", 1399, 0], ["at", 1450, 0], ["at", 1700, 0]]
    nothing, *told = heard(script, tmp_path, calls)
    assert nothing is None
    frames = [one["frame"] for one in told]
    # The packet of 1380 ms begins in frame 109.5, is heard 5 ms after it was taken and holds 40 ms at most.
    assert frames == pytest.approx([109.5, 107.0, 109.85, 110.5, 110.5])
    assert [one["halted"] for one in told] == [0, 0, 0, 0, 320]


def test_a_buffer_that_jumps_takes_the_picture_along(script: Callable, tmp_path: Path) -> None:
    calls: list[list[Any]] = [["anchor", 0, 0], ["note", 0, 0], ["note", 960, 20], ["note", 100 * 960, 2020]]
    told = heard(script, tmp_path, [*calls, ["at", 2025, 0], ["note", 101 * 960, 2030], ["at", 2031, 0]])
    # Of the two packets that were taken within 10 ms, the second one is heard after the first.
    assert [one["frame"] for one in told] == pytest.approx([50.0, 50.15])
    assert [one["halted"] for one in told] == [0, 0]


def test_what_was_heard_between_two_packets_that_a_slow_page_saw(script: Callable, tmp_path: Path) -> None:
    calls: list[list[Any]] = [["anchor", 0, 0], ["note", 0, 0], ["note", 15 * 960, 300], ["note", 20 * 960, 1300]]
    told = heard(script, tmp_path, [*calls, ["at", 165, 0], ["at", 1000, 0], ["at", 1305, 0]])
    # 300 ms of sound in 300 ms all was heard; 100 ms in a second were not: nothing is heard until they come.
    assert [one["frame"] for one in told] == pytest.approx([4.0, 8.5, 10.0])


def test_frames_are_shown_in_their_order_and_once(script: Callable, tmp_path: Path) -> None:
    calls = [["take", 9], ["put", 3], ["put", 2], ["put", 3], ["take", 1.9], ["take", 2.5], ["take", 2.9], ["put", 2]]
    calls += [["put", 7], ["put", 5], ["put", 4], ["put", 6], ["take", 6.1], ["take", 99]]
    (tmp_path / "calls.json").write_text(json.dumps(calls))
    told = script("live.mjs", "waiting", tmp_path / "calls.json")
    # Frame 2 was shown before it came again; of five only the four newest are kept.
    assert [one["index"] if isinstance(one, dict) else one for one in told] == [
        None, 1, 2, 2, None, 2, None, 1, 2, 3, 4, 4, 6, 7,
    ]  # fmt: skip


def test_what_came_ahead_gives_way_to_what_came_of_it(script: Callable, tmp_path: Path) -> None:
    calls = [["put", 1], ["ahead", 2], ["ahead", 3], ["put", 3], ["ahead", 3], ["ahead", 4], ["take", "newest"]]
    (tmp_path / "calls.json").write_text(json.dumps([*calls, ["take", 9]]))
    *counts, newest, last = script("live.mjs", "waiting", tmp_path / "calls.json")
    # The mouth of who is interrupted is shown as it closes, not what comes after.
    assert counts == [1, 2, 3, 3, 3, 4] and (newest, last) == (
        {"index": 3, "ahead": False},
        {"index": 4, "ahead": True},
    )
