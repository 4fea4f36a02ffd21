from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiortc", reason="the extra stream is not installed")

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402

from gaussavatar.avatar.avatar import Avatar  # noqa: E402
from gaussavatar.avatar.live.records import AHEAD  # noqa: E402
from gaussavatar.avatar.load import load_avatar  # noqa: E402
from gaussavatar.export.gsa.beside import pack_beside  # noqa: E402
from gaussavatar.live.config import LiveConfig  # noqa: E402
from gaussavatar.live.server import LiveServer  # noqa: E402

PATIENCE = 30.0


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def played(toy_avatar: Path) -> Avatar:
    return Avatar(load_avatar(toy_avatar))


@pytest.fixture(scope="session")
def drawn_from(played: Avatar) -> bytes:
    return pack_beside(played.loaded.path, played.loaded)


@pytest.fixture
def serve(played: Avatar, drawn_from: bytes) -> Iterator[Callable[..., LiveServer]]:
    servers: list[LiveServer] = []

    def begin(**options: Any) -> LiveServer:
        config = LiveConfig(played.loaded.path, port=free(), **options)
        servers.append(LiveServer(config, played, drawn_from, says_text=False))
        servers[-1].open()
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def address(server: LiveServer, path: str) -> str:
    return f"ws://127.0.0.1:{server.config.port}{path}"


def speech(seconds: float, rate: int = 16_000) -> np.ndarray:
    """Something like syllables."""
    time = np.arange(int(seconds * rate)) / rate
    voice = np.sin(2 * np.pi * 160 * time) + 0.5 * np.sin(2 * np.pi * 700 * time)
    return (6000 * voice * (np.sin(2 * np.pi * 4 * time) > -0.5)).astype(np.int16)


def until(wanted: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end, "never came"
        time.sleep(0.02)


def frames_in(message: bytes, known: dict[int, bytes]) -> None:
    """Take the frames of a message of motion, as a page does."""
    at = 0
    while at < len(message):
        (index,) = struct.unpack_from("<I", message, at)
        length = 32 + 2 * (message[at + 5] + message[at + 6])
        if index not in known or not message[at + 4] & AHEAD:
            known[index] = message[at : at + length]
        at += length


@dataclass
class Visit:
    """A page without a browser: what it is told, hears and sees."""

    server: LiveServer
    path: str = "/live"
    told: list[dict[str, Any]] = field(default_factory=list)
    frames: dict[int, bytes] = field(default_factory=dict)
    """Motion by its index; what came ahead gives way to what came of it."""
    sound: list[tuple[int, np.ndarray]] = field(default_factory=list)
    """Time since the first packet, in samples, and samples of each packet."""
    pictures: list[Any] = field(default_factory=list)
    microphone: Any = None

    async def __aenter__(self) -> Visit:
        self.socket = await connect(address(self.server, self.path))
        self.tasks = [asyncio.create_task(self._listen())]
        welcome = await self.hear("kind", "welcome")
        self.peer = peer = RTCPeerConnection(RTCConfiguration([]))
        peer.on("track", lambda track: self.tasks.append(asyncio.create_task(self._take(track))))
        voice = peer.addTransceiver("audio", direction="sendrecv")
        if self.microphone is not None:
            voice.sender.replaceTrack(self.microphone)
        if welcome["render"] == "server":
            peer.addTransceiver("video", direction="recvonly")
        channel = peer.createDataChannel("motion", ordered=False, maxPacketLifeTime=3000)
        channel.on("message", lambda message: frames_in(message, self.frames))
        await peer.setLocalDescription(await peer.createOffer())
        await self.say({"kind": "offer", "sdp": peer.localDescription.sdp})
        answer = await self.hear("kind", "answer")
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await self.socket.close()
        await self.peer.close()

    @property
    def motion(self) -> list[bytes]:
        """Frames in their order."""
        return [self.frames[index] for index in sorted(self.frames)]

    @property
    def first_rtp(self) -> int:
        """The RTP time of the first packet; aiortc counts from there."""
        voice = next(one.receiver for one in self.peer.getTransceivers() if one.kind == "audio")
        return voice._RTCRtpReceiver__timestamp_mapper._origin

    async def say(self, message: dict[str, Any] | bytes) -> None:
        await self.socket.send(message if isinstance(message, bytes) else json.dumps(message))

    async def hear(self, key: str, value: object) -> dict[str, Any]:
        """The first message of a kind, or event."""
        await self.wait(lambda: any(one.get(key) == value for one in self.told))
        return next(one for one in self.told if one.get(key) == value)

    async def wait(self, wanted: Callable[[], object], seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < end, f"never came; told: {self.told}"
            await asyncio.sleep(0.02)

    async def _listen(self) -> None:
        async for message in self.socket:
            self.told.append(json.loads(message))

    async def _take(self, track: Any) -> None:
        while True:
            frame = await track.recv()
            if track.kind == "video":
                self.pictures.append((frame.pts, frame.to_ndarray(format="rgb24")))
            else:
                samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
                self.sound.append((frame.pts, samples.astype(np.float32)))
