"""A session keeps to its clock: speech begins in time, late pictures are left out, missing sound is waited for."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.live.records import FRAME
from gaussavatar.errors import UserError
from tests.unit.avatar.live.sessions import RATE, babble, events_of, heard, run, session


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


def test_iteration_is_paced_by_the_clock_and_ends_with_the_session(avatar: Avatar) -> None:
    live = avatar.live(seed=1)
    seen = []
    for frame in live:
        seen.append(frame)
        if len(seen) == 3:
            live.close()
    # A machine that is busy elsewhere lets frames pass, and says so; none comes twice or before another.
    assert len(seen) == 3 and [frame.index for frame in seen] == sorted({frame.index for frame in seen})

    async def taken() -> list[int]:
        other, got = avatar.live(seed=1), []
        async for frame in other:
            got.append(frame.index)
            if len(got) == 2:
                other.close()
        return got

    got = asyncio.run(taken())
    assert len(got) == 2 and got[0] < got[1]
    assert live.poll() == []
    with pytest.raises(UserError, match="open"):
        live.push(b"", RATE)
