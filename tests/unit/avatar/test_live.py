"""A live session under a pretended clock: sound comes out whole and in step, interruptions are exact, nothing jumps."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar, load_avatar
from gaussavatar.avatar.live.records import FRAME, LiveEvent, LiveFrame
from gaussavatar.avatar.live.session import Live
from gaussavatar.avatar.voice import known_voice, stored_voice, voice_arrays
from gaussavatar.errors import UserError

RATE = 16_000


@pytest.fixture(scope="module")
def avatar(toy_avatar: Path) -> Avatar:
    return load_avatar(toy_avatar)


def babble(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise in syllables, 16 bits; no two samples' stretches are alike."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 3.3 * time)
    return (8000 * loud * rng.normal(size=len(time)).clip(-3, 3)).astype(np.int16)


class Clock:
    """Time that a test moves on, a frame at a time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def session(avatar: Avatar, **wishes: object) -> tuple[Live, Clock]:
    clock = Clock()
    return avatar.live(**{"seed": 3, "clock": clock, "rate": RATE, **wishes}), clock  # type: ignore[arg-type]


def run(live: Live, clock: Clock, frames: int, act: Callable[[int], None] | None = None) -> list[LiveFrame]:
    """Frames as a consumer that asks in time gets them; ``act`` may push or clear before each."""
    given = []
    for index in range(frames):
        if act is not None:
            act(index)
        told = live.poll()
        assert len(told) == 1
        given += told
        clock.now += FRAME
    return given


def events_of(frames: list[LiveFrame]) -> list[tuple[int, LiveEvent]]:
    return [(frame.index, event) for frame in frames for event in frame.events]


def heard(frames: list[LiveFrame]) -> np.ndarray:
    return np.concatenate([frame.audio for frame in frames])


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


def test_the_lips_do_not_depend_on_where_pieces_end(avatar: Avatar) -> None:
    sound = babble(3.0)

    def said(pieces: list[list[np.ndarray]]) -> np.ndarray:
        live, clock = session(avatar)

        def act(index: int) -> None:
            for piece in pieces[index] if index < len(pieces) else []:
                live.push(piece, RATE)
            if index == len(pieces):
                live.flush()

        return np.array([frame.motion.codes for frame in run(live, clock, 120, act) if frame.speaking])

    frames = [sound[start : start + 640] for start in range(0, len(sound), 640)]
    trickle = said([[frame] for frame in frames])
    assert len(trickle) == 75
    np.testing.assert_array_equal(said([np.array_split(frame, [7, 100, 100, 639]) for frame in frames]), trickle)
    # What comes at once is heard with all that is known of it, which is nearer to what the whole gives.
    whole, burst = avatar.motion_for((sound, RATE)).mouth_codes, said([[sound]])

    def alike(codes: np.ndarray, rows: slice) -> float:
        return float(np.corrcoef(codes[rows].ravel(), whole[rows].ravel())[0, 1])

    assert alike(burst, slice(0, 25)) > max(0.9, alike(trickle, slice(0, 25)))
    assert alike(burst, slice(50, 75)) > 0.97
    assert alike(trickle, slice(50, 75)) > 0.95


def test_a_hundred_interruptions_are_exact_to_a_frame(avatar: Avatar) -> None:
    live, clock = session(avatar)
    rng, given = np.random.default_rng(5), []
    for turn in range(100):
        live.push(babble(3.0, seed=turn), RATE)
        frames = run(live, clock, int(rng.integers(1, 30)))
        sounding = sum(frame.speaking for frame in frames)
        live.clear()
        after = run(live, clock, 1)
        assert not after[0].audio.any()
        assert not after[0].speaking
        (finished,) = [event for event in after[0].events if event.kind == "finished"]
        assert (finished.interrupted, finished.segment) == (True, turn)
        assert finished.position == pytest.approx(sounding * FRAME)
        given += frames + after
    assert [frame.index for frame in given] == list(range(len(given)))
    assert live.stats.queued_seconds == pytest.approx(0.0)


def test_an_interrupted_mouth_is_shut_after_three_frames_and_does_not_jump(avatar: Avatar) -> None:
    live, clock = session(avatar)
    live.push(babble(3.0), RATE)
    before = run(live, clock, 30)[-1].motion.codes
    live.clear()
    after = run(live, clock, 4)
    away = [np.abs(frame.motion.codes - avatar.rest.mouth_codes).max() for frame in after]
    open_by = np.abs(before - avatar.rest.mouth_codes).max()
    assert open_by > 0.05
    assert away[2] == pytest.approx(0.0, abs=1e-6)
    assert 0.6 * open_by < away[0] < 0.9 * open_by
    assert 0.1 * open_by < away[1] < 0.4 * open_by


def test_lips_that_close_because_sound_ran_out_are_shut_by_an_interruption(avatar: Avatar) -> None:
    live, clock = session(avatar)
    live.push(babble(1.0), RATE)
    frames = run(live, clock, 1)
    while not any(event.kind == "late" for event in frames[-1].events):
        frames += run(live, clock, 1)
    live.clear()
    after = run(live, clock, 3)
    away = [float(np.abs(frame.motion.codes - avatar.rest.mouth_codes).max()) for frame in (frames[-1], *after)]
    assert away[0] > 0.02
    assert away[3] == pytest.approx(0.0, abs=1e-6)


def test_what_is_said_after_an_interruption_is_said(avatar: Avatar) -> None:
    live, clock = session(avatar)
    live.push(babble(5.0), RATE)
    run(live, clock, 20)
    live.clear()
    new = babble(1.0, seed=9)
    live.push(new, RATE)
    live.flush()
    frames = [frame for frame in run(live, clock, 40) if frame.speaking]
    np.testing.assert_array_equal(heard(frames), new)


def test_when_sound_runs_out_it_rests_and_goes_on_without_losing_a_sample(avatar: Avatar) -> None:
    live, clock = session(avatar)
    sound = babble(2.0)

    def act(index: int) -> None:
        if index == 0:
            live.push(sound[:RATE], RATE)
        if index == 60:
            live.push(sound[RATE:], RATE)
            live.flush()

    frames = run(live, clock, 120, act)
    assert live.stats.underruns == 1
    np.testing.assert_array_equal(heard([frame for frame in frames if frame.speaking]), sound)
    assert [event.kind for _, event in events_of(frames)] == ["start", "late", "end", "finished"]
    resting = next(frame for frame in frames if any(event.kind == "late" for event in frame.events))
    assert not resting.speaking
    # What the lips need ahead is missing at the end of what is there.
    assert resting.events[0].position == pytest.approx(1.0 - live.look_ahead, abs=1.5 * FRAME)


def test_speech_begins_within_the_promised_delay(avatar: Avatar) -> None:
    live, clock = session(avatar)
    sound = babble(1.5)

    def act(index: int) -> None:
        # As a microphone: each frame brings what was said since the last one.
        live.push(sound[index * 640 : (index + 1) * 640], RATE)

    started = next(index for index, event in events_of(run(live, clock, 30, act)) if event.kind == "start")
    assert (started + 1) * FRAME <= live.delay + FRAME
    assert live.delay < live.look_ahead + 0.3
    assert sum(live.latencies.values()) == pytest.approx(live.delay)


def test_late_pictures_are_left_out_and_their_sound_is_not(avatar: Avatar) -> None:
    live, clock = session(avatar, render="image", size=48)
    sound = babble(1.0)
    live.push(sound, RATE)
    live.flush()
    frames = live.poll()
    clock.now += 5 * FRAME
    late = live.poll()
    assert [frame.image is None for frame in late] == [True] * 4 + [False]
    assert all(any(event.kind == "late" for event in frame.events) for frame in late[:4])
    assert live.stats.dropped_pictures == 4
    clock.now += FRAME
    frames += late + run(live, clock, 30)
    np.testing.assert_array_equal(heard([frame for frame in frames if frame.speaking]), sound)
    assert frames[-1].image is not None
    assert frames[-1].image.shape == (48, 48, 3)


def test_a_clock_that_ran_on_without_a_consumer_is_put_back(avatar: Avatar) -> None:
    live, clock = session(avatar)
    live.poll()
    live.push(babble(1.0), RATE)
    live.flush()
    clock.now += 3600.0
    frames = live.poll()
    assert len(frames) <= 3
    assert live.stats.stalled_seconds == pytest.approx(3600.0, abs=0.2)
    assert any(event.kind == "late" for event in frames[0].events)
    clock.now += FRAME
    assert len(live.poll()) == 1


def test_the_same_seed_is_the_same_person_and_no_minute_is_like_another(avatar: Avatar) -> None:
    def idle(seed: int) -> np.ndarray:
        live, clock = session(avatar, seed=seed)
        return np.array([np.concatenate([frame.motion.upper, frame.motion.T_camera_world.ravel()])
                         for frame in run(live, clock, 1000)])  # fmt: skip

    one, again, other = idle(1), idle(1), idle(2)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1
    assert np.abs(one[:500] - one[500:]).max() > 0.1


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


def test_iteration_is_paced_by_the_clock_and_ends_with_the_session(avatar: Avatar) -> None:
    live = avatar.live(seed=1)
    seen = []
    for frame in live:
        seen.append(frame)
        if len(seen) == 3:
            live.close()
    assert [frame.index for frame in seen] == [0, 1, 2]

    async def taken() -> list[int]:
        other, got = avatar.live(seed=1), []
        async for frame in other:
            got.append(frame.index)
            if len(got) == 2:
                other.close()
        return got

    assert asyncio.run(taken()) == [0, 1]
    assert live.poll() == []
    with pytest.raises(UserError, match="open"):
        live.push(b"", RATE)


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (b"\0", RATE, "whole samples"),
        (np.zeros(10, np.float32) + np.nan, RATE, "finite"),
        (np.zeros(10, np.int32), RATE, "int16"),
        (np.zeros((3, 4, 5), np.int16), RATE, "shape"),
        ([1, 2, 3], RATE, "bytes or an array"),
        (np.zeros(10, np.int16), 0, "rate"),
        (np.zeros(10, np.int16), -16000, "rate"),
        (np.zeros(10, np.int16), float("nan"), "rate"),
        (np.zeros(10, np.int16), "16000", "rate"),
        (np.zeros(RATE * 601, np.int16), RATE, "waits to be said"),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_what_is_no_sound_is_refused_in_one_line(avatar: Avatar, sound: object, rate: object, message: str) -> None:
    live, clock = session(avatar)
    with pytest.raises(UserError, match=message):
        live.push(sound, rate)  # type: ignore[arg-type]
    assert not heard(run(live, clock, 3)).any()


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"render": "video"}, "render"),
        ({"hearing": "loud"}, "hearing"),
        ({"seed": -1}, "seed"),
        ({"buffer": float("nan")}, "buffer"),
        ({"cushion": 100}, "cushion"),
        ({"rate": 16_001}, "multiple"),
        ({"render": "image", "size": 0}, "size"),
        ({"render": "image", "background": "#12"}, "colour"),
        ({"render": "image", "background": "none"}, "older version"),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_wishes_that_cannot_be_had_are_refused(avatar: Avatar, wish: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        avatar.live(**wish)


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


def test_a_voice_that_is_known_is_heard_right_from_its_first_word(avatar: Avatar) -> None:
    sound = babble(4.0)
    whole = avatar.motion_for((sound, RATE)).mouth_codes[:20]

    def away(**known: object) -> float:
        live, clock = session(avatar, **known)
        frames = run(live, clock, 40, lambda index: live.push(sound[index * 640 : (index + 1) * 640], RATE))
        said = np.array([frame.motion.codes for frame in frames if frame.speaking])[3:20]
        return float(np.abs(said - whole[3:]).mean())

    assert away(voice=(sound, RATE)) < 0.5 * away()
    with pytest.raises(UserError, match="own voice"):
        session(avatar, voice="own")
    arrays = voice_arrays(known_voice(avatar.loaded, ("mel",), (sound, RATE)))
    kept = Avatar(replace(avatar.loaded, voice=stored_voice(arrays)))
    live, clock = session(kept, voice="own")
    assert live.poll()


def test_lips_head_and_torso_do_not_jump_between_rest_and_speech(avatar: Avatar) -> None:
    live, clock = session(avatar)
    sounds = {20: babble(1.3, seed=1), 80: babble(0.7, seed=2), 110: babble(2.0, seed=3)}

    def act(index: int) -> None:
        if index in sounds:
            live.push(sounds[index], RATE)
            live.flush()
        if index == 130:
            live.clear()

    frames = run(live, clock, 200, act)
    speaking = np.array([frame.speaking for frame in frames])
    steps = np.abs(np.diff([frame.motion.codes for frame in frames], axis=0)).max(axis=1)
    within = speaking[1:] & speaking[:-1]
    # Going over is no quicker than speech itself.
    assert steps[~within].max() < 1.2 * steps[within].max()
    poses = np.array([frame.motion.T_camera_world[:, 3] for frame in frames])
    filmed = np.abs(np.diff(avatar.filmed.T_camera_world[:, :3, 3], axis=0)).max()
    assert np.abs(np.diff(poses, axis=0)).max() < 1.5 * filmed
    assert np.abs(np.diff([frame.motion.place for frame in frames])).max() <= 2


def test_a_listener_nods_where_the_other_sides_phrases_end(avatar: Avatar) -> None:
    def nods(phrases: np.ndarray) -> float:
        live, clock = session(avatar, seed=5)
        frames = run(live, clock, 300, lambda index: live.listen(phrases[index * 640 : (index + 1) * 640], RATE))
        assert not heard(frames).any()
        down = np.array([frame.motion.T_camera_world[2, 1] for frame in frames])
        return float(np.ptp(down))

    talk = np.concatenate([np.concatenate([babble(1.6, seed=k), np.zeros(RATE, np.int16)]) for k in range(5)])
    assert nods(talk) > nods(np.zeros_like(talk)) + 0.02


def test_another_process_makes_the_same_person(avatar: Avatar, toy_avatar: Path) -> None:
    program = (
        "import sys, hashlib, numpy as np, gaussavatar\n"
        "now = [0.0]\n"
        "live = gaussavatar.load_avatar(sys.argv[1]).live(seed=11, clock=lambda: now[0])\n"
        "told = hashlib.sha256()\n"
        "for k in range(200):\n"
        "    now[0] = k / 25\n"
        "    for frame in live.poll():\n"
        "        told.update(frame.packed())\n"
        "print(told.hexdigest())\n"
    )
    told = subprocess.run([sys.executable, "-c", program, str(toy_avatar)], capture_output=True, text=True, check=True)
    live, clock = session(avatar, seed=11)
    here = hashlib.sha256()
    for frame in run(live, clock, 200):
        here.update(frame.packed())
    assert told.stdout.strip() == here.hexdigest()


def test_minutes_of_speech_and_rest_leave_nothing_behind(avatar: Avatar) -> None:
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
