"""Sound that is pushed comes out whole and in step with its frames, however it was pushed."""

from __future__ import annotations

import gc
import struct
import threading
import tracemalloc

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.live.records import quaternion
from tests.unit.avatar.live.sessions import RATE, babble, events_of, heard, run, session


def test_all_sound_comes_out_once_and_whole_with_its_frames(avatar: Avatar) -> None:
    live, clock = session(avatar)
    sound = babble(2.13)
    frames = run(live, clock, 10)
    assert not heard(frames).any()
    live.push(sound.tobytes(), RATE)
    live.flush()
    frames = run(live, clock, 70)
    kinds = {event.kind: (index, event) for index, event in events_of(frames)}
    start, (end, finished) = kinds["start"][0], kinds["finished"]
    said = [frame for frame in frames if frame.speaking]
    assert [frame.index for frame in said] == list(range(start, end + 1))
    np.testing.assert_array_equal(heard(said)[: len(sound)], sound)
    assert not heard(said)[len(sound) :].any()
    assert finished.position == pytest.approx(2.13)
    assert not finished.interrupted
    assert [frame.time for frame in frames] == pytest.approx([100.0 + frame.index / 25 for frame in frames])
    assert live.stats.spoken_seconds == pytest.approx(2.13)
    assert live.stats.queued_seconds == pytest.approx(0.0)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 47_999])
def test_other_rates_last_as_long_as_they_lasted(avatar: Avatar, rate: int) -> None:
    live, clock = session(avatar, rate=48_000)
    time = np.arange(round(1.2 * rate)) / rate
    tone = (9000 * np.sin(2 * np.pi * 500 * time)).astype(np.int16)
    for start in range(0, len(tone), 777):
        live.push(tone[start : start + 777], rate)
    live.flush()
    frames = [frame for frame in run(live, clock, 40) if frame.speaking]
    assert len(frames) == int(np.ceil(25 * len(tone) / rate))
    whole = heard(frames).astype(float)
    wanted = 9000 * np.sin(2 * np.pi * 500 * np.arange(len(whole)) / 48_000)
    # No seam between pieces, and no shift.
    assert np.abs(whole - wanted)[100:57_000].max() < 60


def test_nothing_pushed_nothing_said(avatar: Avatar) -> None:
    live, clock = session(avatar)
    live.flush()
    live.clear()
    live.push(b"", RATE)
    live.flush()
    frames = run(live, clock, 5)
    assert not events_of(frames)
    live.push(np.array([5000], np.int16), RATE)
    live.flush()
    frames = run(live, clock, 5)
    assert [event.kind for _, event in events_of(frames)] == ["start", "end", "finished"]
    assert sum(frame.speaking for frame in frames) == 1


def test_half_a_minute_at_once_is_said_whole_and_never_runs_ahead(avatar: Avatar) -> None:
    live, clock = session(avatar)
    sound = babble(30.0)
    live.push(sound, RATE)
    live.flush()
    frames = run(live, clock, 770)
    np.testing.assert_array_equal(heard([frame for frame in frames if frame.speaking]), sound)
    assert live.stats.underruns == 0
    assert live.stats.spoken_seconds == pytest.approx(30.0)


def test_long_silence_that_is_pushed_leaves_the_mouth_shut_and_speech_after_it_is_said(avatar: Avatar) -> None:
    live, clock = session(avatar)
    quiet = np.zeros(640, np.int16)
    frames = run(live, clock, 300, lambda _: live.push(quiet, RATE))
    assert max(np.abs(frame.motion.codes - avatar.rest.mouth_codes).max() for frame in frames[20:]) < 0.05
    sound = babble(1.0)
    live.push(sound, RATE)
    live.flush()
    after = run(live, clock, 60)
    assert sound.tobytes() in heard(after).tobytes()
    assert max(np.abs(frame.motion.codes - avatar.rest.mouth_codes).max() for frame in after) > 0.1


def test_other_threads_may_push_while_frames_are_taken(avatar: Avatar) -> None:
    live, clock = session(avatar)
    sound = babble(4.0)

    def bring() -> None:
        for start in range(0, len(sound), 333):
            live.push(sound[start : start + 333], RATE)
        live.flush()

    other = threading.Thread(target=bring)
    other.start()
    frames = run(live, clock, 5)
    other.join()
    frames += run(live, clock, 130)
    np.testing.assert_array_equal(heard([frame for frame in frames if frame.speaking]), sound)


@pytest.mark.long
def test_minutes_of_speech_and_rest_leave_nothing_behind(avatar: Avatar) -> None:
    """Long: minutes of speech, with every allocation written down."""
    live, clock = session(avatar)
    sound = babble(5.0)

    def turn() -> int:
        run(live, clock, 150, lambda index: None if index else (live.push(sound, RATE), live.flush()) and None)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    # Of a voice half a minute is kept; after that nothing grows.
    for _ in range(7):
        turn()
    tracemalloc.start()
    try:
        held = [turn() for _ in range(5)]
    finally:
        tracemalloc.stop()
    assert max(held[3:]) - max(held[:3]) < 300_000
    assert live.stats.queued_seconds == pytest.approx(0.0)


def test_a_quaternion_is_that_of_its_rotation_whichever_part_is_the_largest() -> None:
    halves = [[np.pi, 0, 0], [0, np.pi, 0], [0, 0, np.pi], [0, 0, 0]]
    turns = Rotation.concatenate([Rotation.random(200, random_state=0), Rotation.from_rotvec(halves)])
    for R in turns.as_matrix():
        w, x, y, z = quaternion(R.tolist())
        assert w >= 0
        np.testing.assert_allclose(Rotation.from_quat([x, y, z, w]).as_matrix(), R, atol=1e-12)


def test_packed_motion_reads_back(avatar: Avatar) -> None:
    live, clock = session(avatar)
    live.push(babble(1.0), RATE)
    frame = run(live, clock, 20)[-1]
    data, motion = frame.packed(), frame.motion
    index, flags, m, u, _, place, _ = struct.unpack_from("<IBBBBHH", data)
    assert (index, flags, m, u, place) == (19, 1, 4, 3, motion.place)
    codes = np.frombuffer(data, "<f2", m, 12)
    upper = np.frombuffer(data, "<f2", u, 12 + 2 * m)
    translation = np.frombuffer(data, "<f4", 3, 12 + 2 * (m + u))
    w, x, y, z = np.frombuffer(data, "<f2", 4, 24 + 2 * (m + u)).astype(float)
    assert len(data) == 32 + 2 * (m + u)
    np.testing.assert_allclose(codes, motion.codes, atol=2e-3)
    np.testing.assert_allclose(upper, motion.upper, atol=2e-3)
    np.testing.assert_array_equal(translation, motion.T_camera_world[:, 3])
    assert motion.T_camera_world[0, 0] == pytest.approx(1 - 2 * (y * y + z * z), abs=2e-3)
    assert motion.T_camera_world[1, 0] == pytest.approx(2 * (x * y + w * z), abs=2e-3)
