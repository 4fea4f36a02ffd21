"""Live sessions of tests under a pretended clock, and the sound that is pushed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.live.records import FRAME, LiveEvent, LiveFrame
from gaussavatar.avatar.live.session import Live

RATE = 16_000


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
