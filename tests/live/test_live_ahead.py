"""Motion that is sent before it is due: few messages at rest, and no frame that is not what it should be."""

from __future__ import annotations

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.live.records import AHEAD, LiveFrame
from gaussavatar.live.session import Session
from tests.unit.avatar.live.sessions import babble, session

from .conftest import frames_in

SPEAKS, FRAMES = 26, 120


def test_what_is_sent_ahead_comes_true_or_is_sent_anew(played: Avatar) -> None:
    live, clock = session(played)
    frames: list[LiveFrame] = []
    polled = live.poll

    def noted(now: float | None = None) -> list[LiveFrame]:
        frames.extend(made := polled(now))
        return made

    live.poll = noted  # type: ignore[method-assign]
    served, known, messages = Session("one", live), {}, []
    for index in range(FRAMES):
        if index == SPEAKS:
            live.push(babble(1.1), 16_000)
            live.flush()
            assert known[SPEAKS][4] & AHEAD, "what was sent ahead is silent"
        # Now and then two frames are asked for at once.
        if index % 9 != 4 or index == FRAMES - 1:
            made = [one.motion for one in served.step()]
            messages += made
            for message in made:
                frames_in(message, known)
        clock.now += 0.04
    spoken = [frame.index for frame in frames if frame.speaking]
    assert (spoken[0], len(spoken)) == (SPEAKS, 28)
    for frame in frames:
        sent = bytearray(known[frame.index])
        sent[4] &= ~AHEAD
        assert bytes(sent) == frame.packed(), frame.index
    assert all(messages[spoken[0] : spoken[-1] + 1])
    rest = messages[spoken[-1] + 10 :]
    assert len(rest) > 50 and sum(map(bool, rest)) <= len(rest) // 5 + 3
    assert max(map(len, messages)) < 1200, "a message is one packet"


def test_without_a_wish_for_it_nothing_is_ahead(played: Avatar) -> None:
    (one, clock), (other, _) = session(played), session(played)
    for _ in range(60):
        a, b = (live.poll(clock.now)[0].packed() for live in (one, other))
        other.ahead(4)
        assert a == b
        clock.now += 0.04
