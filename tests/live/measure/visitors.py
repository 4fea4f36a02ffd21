"""Many visitors by aiortc in another process, some of which vanish."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import random
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.live.conftest import Visit
from tests.live.measure.common import opened

APART = 0.3
"""Seconds between visitors that come."""


def visitors(port: int, count: int, vanish: int, seconds: float, talking: int, voice: np.ndarray, out: Any) -> None:
    """In a process of its own: visitors that hear, some of which vanish."""

    class There:
        class config:  # noqa: N801
            pass

    There.config.port = port  # type: ignore[attr-defined]

    async def one(number: int, said: list[Any]) -> None:
        chance = random.Random(number)
        visit = Visit(There, f"/live?session=visitor-{number}")  # type: ignore[arg-type]
        async with visit:
            await asyncio.sleep(max(0.0, ready - time.monotonic()))
            counted = (len(visit.motion), len(visit.sound), len(visit.pictures))
            began, at = time.monotonic(), 0
            goes = began + chance.uniform(0.3, 0.8) * seconds if number < vanish else began + seconds
            if number >= count - talking:
                await visit.say({"kind": "hello", "rate": 16000})
            while time.monotonic() < goes:
                if number >= count - talking:
                    await visit.say(voice[at : at + 3200].tobytes())
                    at = (at + 3200) % (len(voice) - 3200)
                await asyncio.sleep(0.2)
            if number < vanish:
                visit.socket.transport.abort()
                return
            now = (len(visit.motion), len(visit.sound), len(visit.pictures))
            said.append([(b - a) / (time.monotonic() - began) for a, b in zip(counted, now, strict=True)])

    async def all_of_them() -> list[Any]:
        said: list[Any] = []
        tasks = [asyncio.create_task(_later(APART * number, one(number, said))) for number in range(count)]
        await asyncio.gather(*tasks, return_exceptions=True)
        return said

    ready = time.monotonic() + APART * count + 3
    out.put("begun")
    out.put(asyncio.run(all_of_them()))


async def _later(wait: float, work: Any) -> None:
    await asyncio.sleep(wait)
    await work


def resident() -> float:
    """MB that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def measure_visitors(
    folder: Path, voice: np.ndarray, count: int, vanish: int, seconds: float, talking: int, render: str
) -> None:
    server = opened(folder, render=render, most=count + vanish)
    gc.collect()
    before = resident()
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=visitors, args=(server.config.port, count, vanish, seconds, talking, voice, out))
    process.start()
    out.get(timeout=120)
    time.sleep(APART * count + 3)
    cpu, began = time.process_time(), time.monotonic()
    time.sleep(0.3 * seconds)
    used, peers = (time.process_time() - cpu) / (time.monotonic() - began), len(server.peers)
    late = [session.live.stats.late_ms_p95 for session in server.sessions.values()]
    peak = resident()
    said = np.array(out.get(timeout=60 + 3 * seconds))
    process.join()
    end = time.monotonic() + 40
    while (server.sessions or server.peers or server.visitors) and time.monotonic() < end:
        time.sleep(0.2)
    gc.collect()
    share, least, most = 100 * used, said.min(0), said.max(0)
    lines = (
        f"{render}: {count} visitors ({talking} spoken to, {vanish} vanish)",
        f"{share:.0f} % of a core, {share / max(peers, 1):.1f} % each of {peers}; load {os.getloadavg()[0]:.1f}",
        f"a second: motion {least[0]:.1f} to {most[0]:.1f}, packets {least[1]:.1f} to {most[1]:.1f}",
        f"pictures {least[2]:.1f} to {most[2]:.1f}; frames late, p95: {max(late, default=0):.0f} ms",
        f"memory {before:.0f} MB, {peak:.0f} with all, {resident():.0f} after",
        f"left behind: {len(server.sessions)} sessions, {len(server.peers)} peers, {server.visitors} sockets",
    )
    print("\n  ".join(lines), flush=True)
    server.close()
