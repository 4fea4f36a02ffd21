"""How the live page fares: python -m tests.live.measure AVATAR VOICE [--minutes 1] [--only skew clear visitors video].

Sound against picture in headless Chromium over a bad network, from the page's own events: what is heard is tapped where
it is played and found again in what was sent; what is shown is what the page says that it showed. Then interruptions,
and many visitors by aiortc in another process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import random
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import connect

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.load import load_avatar
from gaussavatar.export.gsa.beside import pack_beside, packed_path
from gaussavatar.live import peer as peer_module
from gaussavatar.live import session as session_module
from gaussavatar.live.config import LiveConfig
from gaussavatar.live.given import Given
from gaussavatar.live.server import LiveServer
from gaussavatar.media.sound_file import read_audio
from gaussavatar.serving.address import free_port
from tests.live.conftest import Visit, address
from tests.live.relay import Network, Relay
from tests.web.browser import Page, chromium

RATE, FPS = 48_000, 25
APART = 0.3
"""Seconds between visitors that come."""

STEP = 0.001
"""Seconds of a value of an envelope."""

TAP = """(async () => {
  const worklet = `registerProcessor("tap", class extends AudioWorkletProcessor {
    process([[samples]]) {
      const length = samples ? samples.length : 128;
      let sum = 0;
      for (let i = 0; i < length; i++) sum += samples ? samples[i] * samples[i] : 0;
      this.port.postMessage([currentTime, sum / length]);
      return true;
    }
  });`;
  const context = new AudioContext({ sampleRate: 48000 }), tap = (window.tap = []);
  await context.audioWorklet.addModule("data:text/javascript," + encodeURIComponent(worklet));
  const node = new AudioWorkletNode(context, "tap");
  node.port.onmessage = ({ data }) => tap.push(data);
  context.createMediaStreamSource(document.getElementById("sound").srcObject).connect(node);
  window.tapClock = () => {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    return [contextTime, performanceTime];
  };
  await context.resume();
})()"""


def opened(folder: Path, **options: Any) -> LiveServer:
    avatar = Avatar(load_avatar(folder))
    path = packed_path(folder)
    data = pack_beside(folder, avatar.loaded) if path is None else path.read_bytes()
    config = LiveConfig(folder, port=free_port("127.0.0.1", 8300), **options)
    server = LiveServer(config, avatar, data, says_text=False)
    server.open()
    return server


@contextmanager
def relayed(network: Network) -> Iterator[None]:
    """Every connection goes through a bad network."""
    relay, own = Relay(network), peer_module.Peer.answer

    async def answer(self: peer_module.Peer, sdp: str) -> str:
        return await relay.answer(await own(self, await relay.offer(sdp)))

    peer_module.Peer.answer = answer  # type: ignore[method-assign]
    try:
        yield
    finally:
        peer_module.Peer.answer = own  # type: ignore[method-assign]
        relay.close()


class Sent:
    """Notes the sound of every frame that was given out, as an envelope."""

    def __init__(self) -> None:
        self.frames: dict[int, np.ndarray] = {}
        self._own = session_module.given

    def __enter__(self) -> Sent:
        def noted(frame: Any, voice: Any) -> Given:
            power = frame.audio.astype(np.float32).reshape(-1, int(RATE * STEP)) / 32768
            self.frames[frame.index] = (power**2).mean(1)
            return self._own(frame, voice)

        session_module.given = noted
        return self

    def __exit__(self, *_: object) -> None:
        session_module.given = self._own

    def envelope(self) -> np.ndarray:
        """One value per millisecond since frame 0."""
        most = max(self.frames)
        silence = np.zeros(int(1 / FPS / STEP), np.float32)
        return np.concatenate([self.frames.get(k, silence) for k in range(most + 1)])


def feed(server: LiveServer, session: str, voice: np.ndarray, seconds: float, stop: threading.Event) -> None:
    """Speech without end, in pieces as a program sends it."""
    piece, sent, began = 1600, 0, time.monotonic()
    with suppress(Exception), connect(address(server, f"/feed?session={session}")) as socket:
        socket.send(json.dumps({"kind": "hello", "rate": 16000}))
        while not stop.is_set() and sent < seconds * 16000:
            at = sent % (len(voice) - piece)
            socket.send(voice[at : at + piece].tobytes())
            sent += piece
            stop.wait(max(0.0, began + sent / 16000 - 0.5 - time.monotonic()))
        socket.send(json.dumps({"kind": "flush"}))
        stop.wait(5)


def visited(page: Page, server: LiveServer, session: str) -> None:
    page.open(f"http://127.0.0.1:{server.config.port}/?session={session}")
    page.wait_for("window.gaussavatarLive")
    page.evaluate("gaussavatarLive.actions.connect()")
    page.wait_for("document.getElementById('state').textContent === 'Connected'")
    page.wait_for("avatar.frames > 3")


def skews(sent: np.ndarray, tap: np.ndarray, to_page: np.ndarray, log: np.ndarray, window: float = 0.6) -> np.ndarray:
    """By how much the picture is ahead of the sound, milliseconds, at windows of what was heard.

    Args:
        sent: power of what was sent, one per :data:`STEP` since frame 0.
        tap: (n, 2) time of the audio clock and power of what was heard.
        to_page: (slope, offset) from the audio clock in seconds to the page's in milliseconds.
        log: (m, 2) when, on the page's clock, which frame was put on the stage.
        window: seconds of sound that are found again.
    """
    grid = np.arange(tap[0, 0], tap[-1, 0], STEP)
    heard = np.log(np.interp(grid, tap[:, 0], tap[:, 1]) + 1e-6)
    kernel = np.ones(5) / 5
    whole = np.log(np.convolve(sent, kernel, "same") + 1e-6)
    size, found = int(window / STEP), []
    for start in range(0, len(heard) - size, size // 2):
        piece = heard[start : start + size]
        if piece.std() < 1.0:
            continue
        middle = np.polyval(to_page, grid[start + size // 2])
        shown = np.searchsorted(log[:, 0], middle) - 1
        if shown < 0:
            continue
        near = int(log[shown, 1] / FPS / STEP)
        low, high = max(0, near - 1500 - size), min(len(whole), near + 1500 + size)
        if high - low < size + 1:
            continue
        looked = np.lib.stride_tricks.sliding_window_view(whole[low:high], size)
        centred = looked - looked.mean(1, keepdims=True)
        match = (centred @ (piece - piece.mean())) / (
            np.linalg.norm(centred, axis=1) * np.linalg.norm(piece - piece.mean()) + 1e-9
        )
        # What a stall cut in two, or what the browser made up to bridge it, is no stretch of what was sent.
        if match.max() < 0.93:
            continue
        frame = (low + int(match.argmax()) + size / 2) * STEP * FPS
        # A frame that is on the stage stands for its whole stretch: half a frame on is its middle.
        found.append((middle, 1000 * (log[shown, 1] + 0.5 - frame) / FPS))
    return np.array(found).reshape(-1, 2)


def measure_skew(folder: Path, voice: np.ndarray, seconds: float, network: Network, name: str) -> dict[str, float]:
    with Sent() as sent, relayed(network):
        server, stop = opened(folder), threading.Event()
        session, logs, taps = "skew", [], []
        with chromium((700, 900)) as page:
            visited(page, server, session)
            thread = threading.Thread(target=feed, args=(server, session, voice, seconds, stop))
            thread.start()
            page.wait_for("gaussavatarLive.events.some(({ event }) => event === 'start')")
            page.evaluate(TAP)
            page.evaluate("gaussavatarLive.drive.log = []")
            clocks, end = [], time.monotonic() + seconds - 2
            while time.monotonic() < end:
                time.sleep(1)
                clocks.append(page.evaluate("tapClock()"))
                logs += page.evaluate("gaussavatarLive.drive.log.splice(0)")
                taps += page.evaluate("tap.splice(0)")
            lead = page.evaluate(
                "[gaussavatarLive.drive.lead, gaussavatarLive.drive.latency, gaussavatarLive.drive.waited]"
            )
            stop.set()
            thread.join()
        server.close()
    clock = np.array(clocks)[1:]
    tap, log = np.array(taps), np.array(logs)
    # The tap hears a block when it is made; the loudspeaker, and what the page counts with, outputLatency later.
    to_page = np.polyfit(clock[:, 0], clock[:, 1], 1)
    found = skews(sent.envelope(), tap, to_page, log + [lead[0], 0])
    values = np.abs(found[:, 1])
    figures = {
        "windows": len(found),
        "median": float(np.median(found[:, 1])),
        "p95 of |skew|": float(np.percentile(values, 95)),
        "most": float(values.max()),
        "buffer ms": lead[2],
        "latency ms": lead[1],
        "stalls": len(network.stalls),
    }
    if os.environ.get("EACH"):
        print(np.round(found - [found[0, 0], 0]).astype(int).tolist(), flush=True)
    print(name, {key: round(value, 1) for key, value in figures.items()}, flush=True)
    return figures


def measure_clear(folder: Path, voice: np.ndarray, times: int) -> None:
    """From the press of the button to a mouth that is closed in the page."""
    server, stop = opened(folder), threading.Event()
    with chromium((700, 900)) as page:
        visited(page, server, "clear")
        took, first = [], []
        page.evaluate("window.shown = gaussavatarLive.drive.log = []")
        for _ in range(times):
            thread = threading.Thread(target=feed, args=(server, "clear", voice, 4, stop))
            began = page.evaluate("performance.now()")
            thread.start()
            page.wait_for("gaussavatarLive.events.at(-1)?.event === 'start'")
            first.append(page.evaluate("gaussavatarLive.events.at(-1).at") - began)
            time.sleep(1.2)
            page.evaluate("shown.length = 0")
            stop.set()
            pressed = page.evaluate(
                "(gaussavatarLive.events.length = 0, gaussavatarLive.actions.stop(), performance.now())"
            )
            page.wait_for("gaussavatarLive.events.some(({ event }) => event === 'finished')")
            last = page.evaluate("gaussavatarLive.events.find(({ event }) => event === 'finished').frame") + 2
            page.wait_for(f"shown.some(([, index]) => index >= {last})")
            took.append(
                page.evaluate(f"shown.find(([, index]) => index >= {last})[0] + gaussavatarLive.drive.lead") - pressed
            )
            thread.join()
            stop.clear()
    server.close()
    closed = np.array(took)
    for name, each in (("speech sent to heard and seen", np.array(first)), ("press to closed mouth", closed)):
        print(f"{name}: median {np.median(each):.0f} ms, p95 {np.percentile(each, 95):.0f} ms", flush=True)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("voice", type=Path)
    parser.add_argument("--minutes", type=float, default=0.7)
    parser.add_argument("--only", nargs="*", default=["skew", "clear", "visitors", "video"])
    parser.add_argument("--visitors", type=int, default=50)
    asked = parser.parse_args()
    voice = (32767 * read_audio(asked.voice).samples).clip(-32768, 32767).astype(np.int16)
    seconds = 60 * asked.minutes
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    if "skew" in asked.only:
        if not os.environ.get("EACH"):
            measure_skew(asked.avatar, voice, seconds, Network(), "good network")
            measure_skew(asked.avatar, voice, seconds, Network(0.1), "jitter of 100 ms")
        measure_skew(asked.avatar, voice, seconds, Network(0.1, 12, 2), "jitter of 100 ms, stalls of 2 s")
    if "clear" in asked.only:
        measure_clear(asked.avatar, voice, max(5, int(10 * asked.minutes)))
    if "visitors" in asked.only:
        measure_visitors(asked.avatar, voice, asked.visitors, 20 * asked.visitors // 50, 0.7 * seconds, 5, "client")
    if "video" in asked.only:
        measure_visitors(asked.avatar, voice, 4, 1, 0.5 * seconds, 4, "server")


if __name__ == "__main__":
    main()
