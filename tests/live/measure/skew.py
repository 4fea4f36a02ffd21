"""Sound against picture in headless Chromium over a bad network.

What is heard: a time code lies in the sound that is sent (:mod:`tests.live.measure.timecode`). The page's track is read
as it leaves the browser's jitter buffer, with the moment of each 10 ms (MediaStreamTrackProcessor, which the page does
not use); it is heard later by what the browser says that its loudspeakers take. What is seen: the frames that the
page put on the stage, later by what it takes drawing to last. A frame stands for its 40 ms, so that 20 ms either way is
what frames allow.

Windows of 20 ms, one every 10 ms; each in which the code can be read counts: hurried, stretched, repeated to bridge a
gap, right before a stall or after it, whether or not the picture moves meanwhile. Where nothing is heard, or only what
the browser made up, there is no code and no skew; how much of what sounded was of that kind is told. Skews are known
modulo 10 s.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.live import peer as peer_module
from gaussavatar.live import session as session_module
from gaussavatar.live.given import Given
from tests.live.measure.common import feed, opened, visited
from tests.live.measure.timecode import PERIOD, RATE, WINDOW, coded, decoded
from tests.live.relay import Network, Relay
from tests.web.browser import Page, chromium

FPS = 25

AFTER = 3.0
"""Seconds after a stall that are told apart."""

SOUNDS = 1e-3
"""Root mean square of what counts as sound."""

TAP = """(() => {
  const [track] = document.getElementById("sound").srcObject.getAudioTracks(), pieces = [], times = [];
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
  (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      times.push([value.timestamp / 1e3, performance.now(), value.sampleRate, samples.length]);
      pieces.push(Int16Array.from(samples, (one) => Math.max(-32768, Math.min(32767, 32768 * one))));
      value.close();
    }
  })();
  window.heard = async () => {
    const data = new Uint8Array(await new Blob(pieces.splice(0)).arrayBuffer());
    let text = "";
    for (let k = 0; k < data.length; k += 8192) text += String.fromCharCode(...data.subarray(k, k + 8192));
    return [times.splice(0), btoa(text)];
  };
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


@contextmanager
def with_a_time_code() -> Iterator[None]:
    """What is spoken has its time in it; silence stays silent."""
    own = session_module.given

    def given(frame: Any, *others: Any) -> Given:
        if frame.audio.any():
            frame = dataclasses.replace(frame, audio=coded(frame.audio, frame.index * len(frame.audio)))
        return own(frame, *others)

    session_module.given = given
    try:
        yield
    finally:
        session_module.given = own


@dataclass(frozen=True)
class Seen:
    """What a page heard and showed; times in milliseconds of the page's clock."""

    tap: np.ndarray
    """(n, 4): when 10 ms left the buffer, when they were read, their rate and how many samples they are."""
    sound: np.ndarray
    """Their samples, one after the other, -1..1."""
    shown: np.ndarray
    """(m, 2): when which frame was put on the stage."""
    lead: float
    latency: float
    waited: float
    zero: float
    """time.monotonic(), in seconds, when the page's clock was zero."""


def skews(seen: Seen) -> tuple[np.ndarray, float]:
    """By how much the picture is ahead of the sound.

    Returns:
        (n, 2) when something is heard, in milliseconds of the page's clock, and by how many milliseconds the picture is
        ahead; and the share of what sounded that was not placed.
    """
    ends = np.cumsum(seen.tap[:, 3]).astype(int)
    starts, times = ends - seen.tap[:, 3].astype(int), seen.tap[:, 0]
    # The sample at a start leaves at its time; a window lies around it. What was not read in one piece is no window.
    whole = np.concatenate([[False], np.abs(np.diff(times) - 1e3 * seen.tap[:-1, 3] / RATE) < 5])
    whole &= (starts >= WINDOW // 2) & (starts + WINDOW // 2 <= len(seen.sound))
    starts, times = starts[whole], times[whole]
    place, sure, sounds = _read(seen.sound, starts)
    heard = times + seen.latency
    shown = np.searchsorted(seen.shown[:, 0] + seen.lead, heard, side="right") - 1
    counts = sure & sounds & (shown >= 0)
    ahead = (seen.shown[shown, 1] + 0.5) / FPS - place
    ahead = (ahead + PERIOD / 2) % PERIOD - PERIOD / 2
    return np.stack([heard, 1e3 * ahead], 1)[counts], 1 - float((sure & sounds).sum() / max(sounds.sum(), 1))


def _read(sound: np.ndarray, starts: np.ndarray, at_once: int = 2000) -> list[np.ndarray]:
    """Places around samples, whether they are sure, and whether anything sounds there."""
    found = []
    for first in range(0, len(starts), at_once):
        windows = sound[starts[first : first + at_once, None] + np.arange(-WINDOW // 2, WINDOW // 2)]
        found.append((*decoded(windows), np.sqrt((windows**2).mean(1)) > SOUNDS))
    return [np.concatenate(part) for part in zip(*found, strict=True)]


def watched(folder: Path, voice: np.ndarray, seconds: float, network: Network) -> Seen:
    """Let a page hear speech for a while."""
    with with_a_time_code(), relayed(network):
        server, stop = opened(folder), threading.Event()
        with chromium((700, 900)) as page:
            visited(page, server, "skew")
            page.evaluate(TAP)
            page.evaluate("gaussavatarLive.drive.log = []")
            thread = threading.Thread(target=feed, args=(server, "skew", voice, seconds, stop))
            thread.start()
            taps, sounds, shown, zero = [], [], [], _zero(page)
            end = time.monotonic() + seconds - 2
            while time.monotonic() < end:
                time.sleep(1)
                times, data = page.evaluate("heard()")
                taps += times
                sounds.append(base64.b64decode(data))
                shown += page.evaluate("gaussavatarLive.drive.log.splice(0)")
            drive = page.evaluate("[drive.lead, drive.latency, drive.waited]".replace("drive", "gaussavatarLive.drive"))
            stop.set()
            thread.join()
        server.close()
    tap, sound = np.array(taps), np.frombuffer(b"".join(sounds), np.int16).astype(np.float32) / 32768
    # The track's clock began anywhere; nothing is read before it has left.
    tap[:, 0] += (tap[:, 1] - tap[:, 0]).min()
    assert (tap[:, 2] == RATE).all()
    return Seen(tap, sound, np.array(shown), *drive, zero)


def _zero(page: Page) -> float:
    """When the page's clock was zero, on time.monotonic(): of several tries the one that was answered first."""
    tries = []
    for _ in range(10):
        began = time.monotonic()
        now = page.evaluate("performance.now()")
        tries.append((time.monotonic() - began, (time.monotonic() + began) / 2 - now / 1e3))
    return min(tries)[1]


def measure_skew(folder: Path, voice: np.ndarray, seconds: float, network: Network, name: str) -> None:
    load = os.getloadavg()[0]
    seen = watched(folder, voice, seconds, network)
    found, lost = skews(seen)
    at = seen.zero + found[:, 0] / 1e3 - network.began
    within = at % (network.stall_every or 1e9) if network.stall_every else np.full(len(at), 1e9)
    within[at < network.stall_every] = 1e9
    stalled = within < network.stall
    after = ~stalled & (within < network.stall + AFTER)
    if folder_of_each := os.environ.get("EACH"):
        np.savez(folder_of_each, found=found, within=within, **dataclasses.asdict(seen))
    print(f"{name}; load {load:.1f} to {os.getloadavg()[0]:.1f}, stalls {len(network.stalls)}")
    for part, which in (
        ("all", np.ones(len(at), bool)),
        ("while it stalls", stalled),
        (f"{AFTER:.0f} s after", after),
        ("elsewhere", ~stalled & ~after),
    ):
        if which.any():
            one = found[which, 1]
            low, middle, high = np.percentile(one, [2.5, 50, 97.5])
            off = 100 * np.mean(np.abs(one) > 40)
            print(
                f"  {part}: {which.sum()} windows, median {middle:+.0f} ms, p95 of |skew|"
                f" {np.percentile(np.abs(one), 95):.0f}, most {np.abs(one).max():.0f}; 95 % within"
                f" {low:+.0f} to {high:+.0f}, {off:.1f} % over 40 ms"
            )
    pace = len(seen.shown) / (np.ptp(seen.shown[:, 0]) / 1e3)
    print(
        f"  not placed {100 * lost:.1f} % of what sounded; {pace:.1f} pictures a second; buffer {seen.waited:.0f} ms,"
        f" loudspeakers {seen.latency:.0f} ms",
        flush=True,
    )
