"""Visitors that count what comes to them and send back what a browser does, so that the measured one is the server.

Handshakes and encryption are aiortc's. Sound is not decoded but counted by packets; motion is acknowledged every second
packet, or a fifth of a second later (RFC 9260, 6.2), where aiortc acknowledges each.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSctpTransport, RTCSessionDescription
from aiortc.rtcsctptransport import DataChunk, parse_packet
from websockets.asyncio.client import connect

APART = 0.1
"""Seconds between visitors that come."""

SETTLED = 3.0
"""Seconds from the last one to the measurement."""

PIECE = 3200
"""Samples of speech that are sent at once, at 16 kHz."""

ACK_EVERY, ACK_WITHIN = 2, 0.2
VIDEO = 97
"""Least RTP payload type of aiortc's video."""


@dataclass(frozen=True)
class Party:
    """Who comes, and what they do."""

    port: int
    count: int
    vanish: int
    """The first so many vanish at some moment, without a word."""
    talking: int
    """The last so many are spoken to, all the time."""
    seconds: float


@dataclass
class Got:
    """What came to one visitor a second."""

    spoken_to: bool
    motion: float
    """Frames of it, each counted once."""
    messages: float
    packets: float
    """Of sound."""
    pictures: float
    pause: float
    """The longest time without a packet of sound, seconds."""


class Guest:
    """One visitor."""

    def __init__(self, port: int, number: int) -> None:
        self._address = f"ws://127.0.0.1:{port}/live?session=visitor-{number}"
        self.zero()

    def zero(self) -> None:
        """Count anew."""
        self.frames: set[int] = set()
        self.messages = self.packets = self.pictures = 0
        self._last, self._pause, self._since = 0.0, 0.0, time.monotonic()

    def got(self, spoken_to: bool) -> Got:
        seconds = time.monotonic() - self._since
        counts = (len(self.frames), self.messages, self.packets, self.pictures)
        return Got(spoken_to, *(count / seconds for count in counts), self._pause)

    async def enter(self) -> None:
        """Come, and be connected."""
        self.socket = await connect(self._address, ping_interval=None)
        answer = asyncio.get_running_loop().create_future()
        welcome = json.loads(await self.socket.recv())
        self._reader = asyncio.create_task(self._read(answer))
        self.peer = peer = RTCPeerConnection(RTCConfiguration([]))
        voice = peer.addTransceiver("audio", direction="recvonly")
        if welcome["render"] == "server":
            peer.addTransceiver("video", direction="recvonly")
        else:
            peer.createDataChannel("motion", ordered=False, maxPacketLifeTime=3000).on("message", self._moved)
        await peer.setLocalDescription(await peer.createOffer())
        await self.socket.send(json.dumps({"kind": "offer", "sdp": peer.localDescription.sdp}))
        await peer.setRemoteDescription(RTCSessionDescription(await answer, "answer"))
        voice.receiver.transport._handle_rtp_data = self._heard
        while peer.connectionState != "connected":
            await asyncio.sleep(0.02)
        if peer.sctp is not None:
            _acknowledge_as_browsers_do(peer.sctp)

    async def listen_to(self, voice: np.ndarray) -> None:
        """Let the avatar say something, in pieces and without end."""
        await self.socket.send(json.dumps({"kind": "hello", "rate": 16000}))
        sent, began = 0, time.monotonic()
        while True:
            at = sent % (len(voice) - PIECE)
            await self.socket.send(voice[at : at + PIECE].tobytes())
            sent += PIECE
            await asyncio.sleep(max(0.0, began + sent / 16000 - time.monotonic()))

    async def leave(self) -> None:
        self._reader.cancel()
        with suppress(Exception):
            await self.socket.close()
            await asyncio.wait_for(self.peer.close(), 5)

    def vanish(self) -> None:
        """Be gone, as who has lost their network."""
        self.socket.transport.abort()
        for transceiver in self.peer.getTransceivers():
            for protocol in transceiver.receiver.transport.transport._connection._protocols:
                protocol.transport.abort()

    async def _read(self, answer: asyncio.Future[str]) -> None:
        async for message in self.socket:
            said = json.loads(message)
            if said.get("kind") == "answer":
                answer.set_result(said["sdp"])

    async def _heard(self, data: bytes, arrival_time_ms: int) -> None:
        if data[1] & 127 >= VIDEO:
            # The last packet of a picture is marked.
            self.pictures += data[1] >> 7
            return
        now = time.monotonic()
        if self._last:
            self._pause = max(self._pause, now - self._last)
        self._last = now
        self.packets += 1

    def _moved(self, message: bytes) -> None:
        self.messages += 1
        at = 0
        while at < len(message):
            self.frames.add(struct.unpack_from("<I", message, at)[0])
            at += 32 + 2 * (message[at + 5] + message[at + 6])


def _acknowledge_as_browsers_do(sctp: RTCSctpTransport) -> None:
    own, loop = sctp._handle_data, asyncio.get_running_loop()
    owed = 0

    async def acknowledge() -> None:
        nonlocal owed
        owed = 0
        with suppress(Exception):
            await sctp._send_sack()

    def later() -> None:
        if owed:
            asyncio.ensure_future(acknowledge())

    async def handle(data: bytes) -> None:
        nonlocal owed
        # Nothing but a chunk of data.
        if len(data) < 16 or data[12] != 0:
            return await own(data)
        for chunk in parse_packet(data)[3]:
            if isinstance(chunk, DataChunk):
                await sctp._receive_data_chunk(chunk)
        sctp._sack_needed = False
        owed += 1
        if owed >= ACK_EVERY:
            await acknowledge()
        else:
            loop.call_later(ACK_WITHIN, later)

    sctp._handle_data = handle  # type: ignore[method-assign]


async def _visit(party: Party, voice: np.ndarray, out: Any) -> None:
    guests = [Guest(party.port, number) for number in range(party.count)]
    for guest in guests:
        await guest.enter()
        await asyncio.sleep(APART)
    talks = [asyncio.create_task(guest.listen_to(voice)) for guest in guests[party.count - party.talking :]]
    await asyncio.sleep(SETTLED)
    for guest in guests:
        guest.zero()
    out.put("settled")
    chance, cpu, began = random.Random(0), time.process_time(), time.monotonic()
    loop = asyncio.get_running_loop()
    for guest in guests[: party.vanish]:
        loop.call_later(chance.uniform(0.3, 0.8) * party.seconds, guest.vanish)
    await asyncio.sleep(party.seconds)
    used = (time.process_time() - cpu) / (time.monotonic() - began)
    stayed = list(enumerate(guests))[party.vanish :]
    got = [asdict(guest.got(number >= party.count - party.talking)) for number, guest in stayed]
    out.put({"cpu": used, "got": got})
    for talk in talks:
        talk.cancel()
    await asyncio.gather(*(guest.leave() for guest in guests))


def visit(party: Party, voice: np.ndarray, out: Any) -> None:
    """Be there, in a process of its own. Puts ``settled``, and in the end the share of a core and what each one got."""
    asyncio.run(_visit(party, voice, out))
