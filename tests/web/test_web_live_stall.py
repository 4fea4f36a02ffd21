"""The live page's picture against its sound where the network stalls, under a pretended clock and jitter buffer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FRAME, PACKET, TICK = 40, 20, 10
"""Milliseconds: of a frame, of a packet, and of what leaves the jitter buffer at once."""

RATE, LATENCY, FIRST_RTP = 48, 30.0, 2**32 - 48_000


@dataclass
class Buffer:
    """As a browser's jitter buffer: stands still while nothing comes, hurries while much waits."""

    came: np.ndarray
    """When each packet came, milliseconds."""
    place: float = 0.0
    decoded: int = 0
    packets: list[tuple[float, int]] = field(default_factory=list)
    """When which packet was taken."""
    left: list[tuple[float, float, float]] = field(default_factory=list)
    """When a tick was, which moment of the sound left then, and how much of it."""

    def tick(self, now: float) -> None:
        waits = PACKET * np.sum(self.came[self.decoded :] <= now)
        hurries = waits > 300
        wanted = 14.0 if hurries else TICK
        while self.decoded * PACKET < self.place + (30 if hurries else wanted):
            if self.came[self.decoded] > now:
                break
            self.packets.append((now, self.decoded))
            self.decoded += 1
        gone = min(wanted, self.decoded * PACKET - self.place)
        self.left.append((now, self.place, gone))
        self.place += gone


def network(seconds: float, stall: tuple[float, float], rng: np.random.Generator, every: float) -> np.ndarray:
    sent = np.arange(0, 1000 * seconds, every)
    held = (sent >= stall[0]) & (sent < stall[1])
    return np.where(held, stall[1], sent) + rng.uniform(0, 60, len(sent))


def watched(
    script: Callable, folder: Path, refresh: float, seconds: float, stall: tuple[float, float]
) -> tuple[Any, Buffer]:
    """What the page shows of sound that stalls, and what was heard of it."""
    rng = np.random.default_rng(0)
    frames = network(seconds, stall, rng, FRAME)
    buffer = Buffer(np.append(network(seconds, stall, rng, PACKET), np.inf))
    steps, given = [], 0
    for now in np.arange(150.0, 1000 * seconds, refresh):
        while not buffer.left or buffer.left[-1][0] + TICK <= now:
            buffer.tick(buffer.left[-1][0] + TICK if buffer.left else 150.0)
        taken = [((FIRST_RTP + RATE * PACKET * k) % 2**32, at) for at, k in buffer.packets[-1:]]
        new = np.flatnonzero((frames <= now) & (frames > given)).tolist()
        steps.append({"now": now, "source": taken[0] if taken else None, "frames": new})
        given = now
    calls = {"anchor": {"frame": 0, "rtp": FIRST_RTP}, "latency": LATENCY, "steps": steps}
    (folder / "steps.json").write_text(json.dumps(calls))
    return script("live.mjs", "drive", folder / "steps.json")[0], buffer


def skews(told: Any, buffer: Buffer) -> np.ndarray:
    """(n, 2) when sound is heard, and by how many milliseconds the picture is ahead of it."""
    shown = np.array(told["shown"])
    left = np.array([(at + LATENCY, place + gone / 2) for at, place, gone in buffer.left if gone])
    on = np.searchsorted(shown[:, 0] + told["lead"], left[:, 0], side="right") - 1
    ahead = FRAME * (shown[on, 1] + 0.5) - left[:, 1]
    return np.stack([left[:, 0], ahead], 1)[on >= 0]


def test_picture_and_sound_meet_again_after_a_stall(script: Callable, tmp_path: Path) -> None:
    stall = (4000.0, 6000.0)
    told, buffer = watched(script, tmp_path, 1000 / 60, 12, stall)
    found = skews(told, buffer)
    usual = found[(found[:, 0] > 1000) & (found[:, 0] < stall[0])]
    assert abs(np.median(usual[:, 1])) < 10 and np.percentile(abs(usual[:, 1]), 95) < 35
    after = found[found[:, 0] > stall[1]]
    late = np.interp(7000, *np.array([(at, place) for at, place, _ in buffer.left]).T)
    assert late < 5500, "the sound goes on where it stood, and hurries"
    assert abs(np.median(after[:, 1])) < 12
    # A fraction of a second after the sound goes on they have met, and stay together.
    settled = after[after[:, 0] > after[0, 0] + 200]
    assert np.percentile(abs(settled[:, 1]), 95) < 40 and abs(settled[:, 1]).max() < 70
    # While nothing is heard the face rests, and not before.
    assert told["rests"] and stall[0] + 200 < told["rests"][0] < stall[0] + 700
    running = np.array(told["shown"])
    gap = running[(running[:, 0] > told["rests"][0]) & (running[:, 0] < stall[1])]
    assert not len(gap), "a picture ran on without sound"


def test_a_page_that_draws_slowly_shows_what_is_heard_in_the_middle(script: Callable, tmp_path: Path) -> None:
    told, buffer = watched(script, tmp_path, 100, 8, (1e6, 1e6))
    found = skews(told, buffer)
    assert abs(np.median(found[found[:, 0] > 3000, 1])) < 20
