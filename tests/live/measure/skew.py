"""Sound against picture in headless Chromium over a bad network, from the page's own events.

What is heard is tapped where it is played and found again in what was sent; what is shown is what the page says that it
showed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.live import peer as peer_module
from gaussavatar.live import session as session_module
from gaussavatar.live.given import Given
from tests.live.measure.common import feed, opened, visited
from tests.live.relay import Network, Relay
from tests.web.browser import chromium

RATE, FPS = 48_000, 25

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
