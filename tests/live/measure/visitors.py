"""Many visitors in another process, some of which vanish: what they cost, and whether anybody is disturbed."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from gaussavatar.live.peer import Peer
from gaussavatar.live.server import LiveServer
from tests.live.measure.common import opened
from tests.live.measure.guests import APART, Party, visit


def resident() -> float:
    """MB that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def handed_over(server: LiveServer) -> dict[Peer, int]:
    """Packets of sound that each peer's socket was given so far."""
    return {peer: peer._sender._RTCRtpSender__packet_count for peer in server.peers}  # type: ignore[attr-defined]


def measure_visitors(
    folder: Path, voice: np.ndarray, count: int, vanish: int, seconds: float, talking: int, render: str
) -> None:
    sys.setswitchinterval(0.001)
    server = opened(folder, render=render, most=count + vanish)
    gc.collect()
    before = resident()
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    party = Party(server.config.port, count, vanish, talking, seconds)
    process = context.Process(target=visit, args=(party, voice, out))
    process.start()
    assert out.get(timeout=120 + 5 * APART * count) == "settled"
    # Nobody vanishes in the first part of it.
    cpu, began, sent = time.process_time(), time.monotonic(), handed_over(server)
    frames = {session: session.live.stats.frames for session in server.sessions.values()}
    time.sleep(0.28 * seconds)
    lasted = time.monotonic() - began
    used, peers, now = (time.process_time() - cpu) / lasted, len(server.peers), handed_over(server)
    packets = [(now[peer] - sent[peer]) / lasted for peer in sent]
    made = [(session.live.stats.frames - first) / lasted for session, first in frames.items()]
    peak = resident()
    told = out.get(timeout=60 + 3 * seconds)
    late = [session.live.stats.late_ms_p95 for session in server.sessions.values()]
    process.join()
    end = time.monotonic() + 60
    while (server.sessions or server.peers or server.visitors) and time.monotonic() < end:
        time.sleep(0.2)
    gc.collect()
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    share, latest = 100 * used, max(late, default=0)
    print(
        f"{render}: {count} visitors ({talking} spoken to, {vanish} vanish); load {load}",
        f"  server {share:.0f} % of a core, {share / max(peers, 1):.2f} % each; clients {100 * told['cpu']:.0f} %",
        f"  made a second: {_span(made)}; sent packets of sound: {_span(packets)}; late, p95: {latest:.0f} ms",
        sep="\n",
    )
    for name, spoken_to in (("at rest", False), ("spoken to", True)):
        if got := [one for one in told["got"] if one["spoken_to"] is spoken_to]:
            words = (
                f"{kind} {_span([one[kind] for one in got])}" for kind in ("motion", "messages", "packets", "pictures")
            )
            pause = 1000 * max(one["pause"] for one in got)
            print(f"  came a second, {name}: {', '.join(words)}; longest pause of sound {pause:.0f} ms")
    print(
        f"  memory {before:.0f} MB, {peak:.0f} with all, {resident():.0f} after",
        f"  left behind: {len(server.sessions)} sessions, {len(server.peers)} peers, {server.visitors} sockets",
        sep="\n",
        flush=True,
    )
    server.close()


def _span(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}" if values else "none"
