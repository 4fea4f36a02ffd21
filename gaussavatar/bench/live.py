"""Figures of live speech: what it costs, how near its lips are to those of the whole file, what interruptions leave."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int16

from gaussavatar.avatar.avatar import Avatar, load_avatar
from gaussavatar.avatar.live.records import FPS, FRAME, LiveFrame
from gaussavatar.avatar.live.session import Live
from gaussavatar.bench.machine import load_average
from gaussavatar.errors import UserError
from gaussavatar.media.sound import Sound, as_waveform
from gaussavatar.types import Waveform

RATE = 16_000
INTERRUPTIONS = 100
PICTURES = 100
FIRST_WORD, WARM = 1.0, 3.0
"""Seconds of speech that count as its first word, and after which a new voice is known."""


@dataclass
class _Pretended:
    """A clock that only a bench moves on."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def bench_live(path: Path, sound: Sound | None, hearing: str = "light", minutes: float = 60.0) -> dict[str, Any]:
    """Measure a live session of an avatar under a clock that is pretended: nothing waits.

    Args:
        path: the avatar's folder.
        sound: what it says; syllables of noise when None.
        hearing: ``light`` or ``best``.
        minutes: of the session whose memory is watched; 0 leaves that out.

    Raises:
        UserError: a sound of less than five seconds.
    """
    torch.set_num_threads(1)
    avatar = load_avatar(path, features=hearing)  # type: ignore[arg-type]
    wave = as_waveform((syllables(12.0), RATE) if sound is None else sound)
    if wave.seconds < WARM + 2:
        raise UserError("a sound of five seconds or more", f"{wave.seconds:.1f} s", "give another one")
    samples = np.clip(np.rint(wave.samples * 32768), -32768, 32767).astype(np.int16)
    figures: dict[str, Any] = {"cpus": os.cpu_count(), "load": load_average()}
    live = avatar.live(hearing=hearing, rate=RATE)  # type: ignore[arg-type]
    figures |= {f"latency: {stage}, ms": 1000 * seconds for stage, seconds in live.latencies.items()}
    figures |= {"look-ahead, ms": 1000 * live.look_ahead, "delay at most, ms": 1000 * live.delay}
    live.close()
    figures |= _likeness(avatar, samples, hearing) | _costs(avatar, samples, hearing)
    figures |= _pictures(avatar, samples, hearing) | _interruptions(avatar, samples, hearing)
    return figures | (_memory(avatar, samples, hearing, minutes) if minutes > 0 else {})


def syllables(seconds: float) -> Int16[np.ndarray, "t"]:
    """Noise that swells and fades as syllables do, with pauses."""
    moments = np.arange(round(seconds * RATE)) / RATE
    loud = np.clip(np.sin(2 * np.pi * 3.3 * moments), 0, None) * (np.sin(2 * np.pi * 0.21 * moments) > -0.6)
    return (9000 * loud * np.random.default_rng(0).normal(size=len(moments)).clip(-3, 3)).astype(np.int16)


def _session(avatar: Avatar, hearing: str, **wishes: Any) -> tuple[Live, _Pretended]:
    clock = _Pretended()
    return avatar.live(hearing=hearing, rate=RATE, seed=0, clock=clock, **wishes), clock  # type: ignore[arg-type]


def _run(live: Live, clock: _Pretended, count: int, as_spoken: Int16[np.ndarray, "t"] | None = None) -> list[LiveFrame]:
    """``count`` frames; ``as_spoken`` is pushed a frame at a time, and its end flushed."""
    frames, size = [], RATE // FPS
    for index in range(count):
        if as_spoken is not None and index * size < len(as_spoken):
            live.push(as_spoken[index * size : (index + 1) * size], RATE)
            if (index + 1) * size >= len(as_spoken):
                live.flush()
        frames += live.poll()
        clock.now += FRAME
        _wait_for(live)
    return frames


def _wait_for(live: Live) -> None:
    """A pretended clock runs ahead of a thread that really works: let it catch up."""
    while live.working:
        time.sleep(0.001)


def _likeness(avatar: Avatar, samples: Int16[np.ndarray, "t"], hearing: str) -> dict[str, float]:
    """Correlation of live codes with those of the whole file: of a burst, as it is spoken, and of a known voice."""
    figures = {}
    for name, wishes, burst in (("burst", {}, True), ("as spoken", {}, False),
                                ("known voice", {"voice": (samples, RATE)}, False)):  # fmt: skip
        near = nearness(avatar, samples, hearing, burst, **wishes)
        spans = ("first second of speech", "after 3 s")
        figures |= {f"r with the file, {name}, {span}": r for span, r in zip(spans, near, strict=True)}
    return figures


def nearness(
    avatar: Avatar, samples: Int16[np.ndarray, "t"], hearing: str, burst: bool = False, **wishes: Any
) -> tuple[float, float]:
    """Correlation of live codes with those of the whole file: in the first second of speech, and after three seconds.

    Args:
        avatar: that speaks.
        samples: 16 kHz.
        hearing: ``light`` or ``best``.
        burst: whether all of the sound comes at once; a frame at a time, when it is due, otherwise.
        wishes: for the session.

    Returns:
        Both; the second is NaN where less than a second follows.
    """
    whole = avatar.motion_for(Waveform(samples / np.float32(32768), RATE)).mouth_codes
    away = np.abs(whole - avatar.rest.mouth_codes).mean(axis=1)
    start, warm = int(np.argmax(away > 0.3 * away.max())), round(WARM * FPS)
    live, clock = _session(avatar, hearing, **wishes)
    if burst:
        live.push(samples, RATE)
        live.flush()
        _wait_for(live)
    frames = _run(live, clock, len(whole) + 2 * FPS, None if burst else samples)
    live.close()
    said = np.array([frame.motion.codes for frame in frames if frame.speaking])
    # The last frame of a sound that is no whole number of them is counted by one alone.
    said, whole = said[: len(whole)], whole[: len(said)]
    first = slice(start, start + round(FIRST_WORD * FPS))
    later = likeness(said[warm:], whole[warm:]) if len(said) >= warm + FPS else float("nan")
    return likeness(said[first], whole[first]), later


def likeness(a: Float[np.ndarray, "n m"], b: Float[np.ndarray, "n m"]) -> float:
    """Correlation of all codes together, each about its own mean."""
    n = min(len(a), len(b))
    a, b = a[:n] - a[:n].mean(axis=0), b[:n] - b[:n].mean(axis=0)
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-12))


def _costs(avatar: Avatar, samples: Int16[np.ndarray, "t"], hearing: str) -> dict[str, float]:
    """CPU milliseconds per frame of motion."""
    figures = {}
    for name, sound, burst in (("idle", None, False), ("speech that came at once", samples, True),
                               ("speech as it is spoken", samples, False)):  # fmt: skip
        live, clock = _session(avatar, hearing)
        _run(live, clock, 5)
        count = 500 if sound is None else len(sound) * FPS // RATE
        if burst and sound is not None:
            live.push(sound, RATE)
        begun = time.process_time()
        _run(live, clock, count, None if burst else sound)
        figures[f"CPU ms per frame of motion, {name}"] = 1000 * (time.process_time() - begun) / count
        live.close()
    return figures


def _pictures(avatar: Avatar, samples: Int16[np.ndarray, "t"], hearing: str) -> dict[str, float]:
    live, clock = _session(avatar, hearing, render="image")
    live.push(samples, RATE)
    _run(live, clock, 5)
    begun, cpu = time.perf_counter(), time.process_time()
    _run(live, clock, PICTURES)
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    live.close()
    return {f"pictures of {avatar.size} px per second": PICTURES / took, "CPU ms per picture": 1000 * cpu / PICTURES}


def _interruptions(avatar: Avatar, samples: Int16[np.ndarray, "t"], hearing: str) -> dict[str, float]:
    """Interruptions after a chance number of frames: how many are told exactly, and when the mouth is shut."""
    live, clock = _session(avatar, hearing)
    rng, exact, open_after = np.random.default_rng(0), 0, []
    for _ in range(INTERRUPTIONS):
        live.push(samples, RATE)
        _wait_for(live)
        said = sum(frame.speaking for frame in _run(live, clock, int(rng.integers(1, 40))))
        live.clear()
        after = _run(live, clock, 8)
        told = [event for event in after[0].events if event.kind == "finished"]
        exact += len(told) == 1 and told[0].interrupted and abs(told[0].position - said * FRAME) < 1e-6
        away = [float(np.abs(frame.motion.codes - avatar.rest.mouth_codes).max()) for frame in after]
        open_after.append(next(index for index, value in enumerate(away) if value < 1e-3) + 1)
    live.close()
    return {"interruptions told exactly, of 100": exact, "mouth shut after, ms at most": 1000 * FRAME * max(open_after)}


def _memory(avatar: Avatar, samples: Int16[np.ndarray, "t"], hearing: str, minutes: float) -> dict[str, float]:
    """Resident memory over a session of speech and rest in turn."""
    live, clock = _session(avatar, hearing)
    turn = len(samples) * FPS // RATE + 10 * FPS
    held, begun = [], time.perf_counter()
    for _ in range(max(4, round(minutes * 60 * FPS / turn))):
        live.push(samples, RATE)
        live.flush()
        _run(live, clock, turn)
        held.append(_resident())
    stats = live.stats
    live.close()
    early = max(held[: max(1, len(held) // 4)])
    return {
        "pretended minutes": clock.now / 60,
        "they took, s": time.perf_counter() - begun,
        "memory grown since the first quarter, MB": max(held) - early,
        "sound said of sound pushed, share": stats.spoken_seconds / (len(held) * len(samples) / RATE),
        "frames": stats.frames,
    }


def _resident() -> float:
    """Megabytes of this process in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
