"""One visitor for as long as one likes: speech, rests and interruptions by chance, and what stays behind of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.live.sound import RATE
from tests.live.conftest import Visit
from tests.live.measure.common import opened
from tests.live.measure.visitors import resident

PIECE, KEPT, FPS = 3200, 50, 25


def visit(port: int, voice: np.ndarray, seconds: float, out: Any) -> None:
    """In a process of its own: sentences of 4 to 12 s, rests of .5 to 8 s, one sentence in five interrupted."""

    class There:
        class config:  # noqa: N801
            pass

    There.config.port = port  # type: ignore[attr-defined]

    async def stay() -> list[float]:
        skews, at, chance = [], 0, np.random.default_rng(0)
        async with Visit(There, "/live?session=soak") as visit:  # type: ignore[arg-type]
            await visit.say({"kind": "hello", "rate": 16000})
            began = time.monotonic()
            while time.monotonic() < began + seconds:
                length, interrupted = int(chance.uniform(4, 12) * 16000), chance.random() < 0.2
                for start in range(0, length, PIECE):
                    place = (at + start) % (len(voice) - PIECE)
                    await visit.say(voice[place : place + PIECE].tobytes())
                    await asyncio.sleep(0.95 * PIECE / 16000)
                    if interrupted and start > length / 2:
                        break
                await visit.say({"kind": "clear"} if interrupted else {"kind": "flush"})
                at = (at + length) % (len(voice) - PIECE)
                await asyncio.sleep(chance.uniform(0.5, 8))
                frame = struct.unpack_from("<I", visit.motion[-1])[0]
                skews.append(frame / FPS - visit.sound[-1][0] / RATE)
                for kept in (visit.motion, visit.sound, visit.told):
                    del kept[:-KEPT]
        return skews

    out.put(asyncio.run(stay()))


def measure_soak(folder: Path, voice: np.ndarray, seconds: float) -> None:
    """Print the server's memory every half minute, and how far motion and sound drifted apart."""
    server, context = opened(folder), multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=visit, args=(server.config.port, voice, seconds, out))
    process.start()
    began, memory = time.monotonic(), []
    while process.is_alive() and out.empty():
        time.sleep(30)
        memory.append(resident())
        stats = [session.live.stats for session in server.sessions.values()]
        print(
            f"{time.monotonic() - began:.0f} s: {memory[-1]:.1f} MB, {time.process_time():.0f} s of CPU, "
            f"load {os.getloadavg()[0]:.1f}, {stats[:1]}",
            flush=True,
        )
    skews = np.array(out.get(timeout=60))
    process.join()
    server.close()
    print(f"memory {memory[0]:.1f} to {memory[-1]:.1f} MB, at most {max(memory):.1f}", flush=True)
    print(f"motion ahead of sound: {skews[0]:.3f} s at first, {skews[-1]:.3f} at last, {np.ptp(skews):.3f} between")
