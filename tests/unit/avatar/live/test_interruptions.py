"""What an interruption drops, exact to a frame, and how the mouth shuts."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.live.records import FRAME
from tests.unit.avatar.live.sessions import RATE, babble, heard, run, session


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
