"""The threads that make frames: who rests does not wait for who speaks."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.live.pacer import Pacer
from gaussavatar.live.session import Session

from .conftest import speech, until


def test_who_rests_goes_on_while_speech_takes_its_time(played: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    rests, speaks = (Session(name, played.live(rate=48_000, seed=1)) for name in ("rests", "speaks"))
    held, free, makers = threading.Event(), threading.Event(), []
    step = Session.step

    def slow(session: Session, begin: float | None = None) -> list:
        if session is speaks and session.live.engaged:
            held.set()
            free.wait(30)
        makers.append((session.name, threading.current_thread().name.rpartition("-")[2]))
        return step(session, begin)

    monkeypatch.setattr(Session, "step", slow)
    loop = asyncio.new_event_loop()
    pacer = Pacer(loop, lambda session: None)
    for session in (rests, speaks):
        pacer.add(session)
    until(lambda: speaks.live.stats.frames > 2)
    speaks.push(None, np.asarray(speech(0.5)), 16_000)
    assert held.wait(30)
    before, spoken = rests.live.stats.frames, speaks.live.stats.frames
    until(lambda: rests.live.stats.frames > before + 10)
    assert speaks.live.stats.frames == spoken, "no other thread takes it meanwhile"
    pacer.remove(speaks)
    assert speaks.live.stats.frames == spoken and len(pacer) == 1
    free.set()
    pacer.close()
    loop.close()
    assert ("speaks", "speech") in makers and ("rests", "speech") not in makers
    assert not speaks.live.poll() and not rests.live.poll(), "both are closed"
