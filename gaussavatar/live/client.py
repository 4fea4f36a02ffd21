"""Whoever is connected by a WebSocket: a page, or a program that sends speech. Both talk the same language."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import websockets
from websockets.asyncio.server import ServerConnection

from gaussavatar.errors import UserError
from gaussavatar.live import messages
from gaussavatar.live.hidden import with_address
from gaussavatar.live.limits import Allowance
from gaussavatar.live.peer import Peer

if TYPE_CHECKING:
    from gaussavatar.live.server import LiveServer
    from gaussavatar.live.session import Session

POLICY, FULL = 1008, 1013
"""Codes with which a connection is closed: of who goes too far, and where there is no place."""


class Client:
    """One connection, until it ends; it holds at most one WebRTC connection."""

    def __init__(self, server: LiveServer, session: Session, connection: ServerConnection, may_speak: bool) -> None:
        self._server, self._session, self._connection = server, session, connection
        self._may_speak = may_speak
        self._hello: messages.Hello | None = None
        self._microphone = "off"
        self._peer: Peer | None = None
        self._allowed = Allowance()
        self._complaints = Allowance(per_second=2, at_once=10)
        self._tasks: set[asyncio.Task[None]] = set()

    async def talk(self) -> None:
        """Do what is said, until the connection ends; then free everything."""
        self._session.clients[self] = self._send
        try:
            self.tell(self._server.welcome(self._session, self._may_speak))
            async for message in self._connection:
                if not self._allowed.take(time.monotonic()):
                    await self._connection.close(POLICY, "too many messages")
                    break
                try:
                    await self._do(message)
                except UserError as error:
                    self.complain(error)
        except websockets.ConnectionClosed:
            pass
        finally:
            self._session.leave(self)
            for task in self._tasks:
                task.cancel()
            await self._part()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self._send(json.dumps(message, separators=(",", ":")))

    def complain(self, error: UserError) -> None:
        """Say what is wrong, but not without end."""
        if self._complaints.take(time.monotonic()):
            self.tell({"kind": "problem", "text": str(error)})

    def _send(self, text: str) -> None:
        # It waits for nobody: who does not read is found dead by the next pings.
        websockets.broadcast([self._connection], text)

    async def _do(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._hear(message)
            return
        match messages.parse(message):
            case messages.Hello() as hello:
                self._hello = hello
            case messages.Flush():
                self._session.flush(self)
            case messages.Clear():
                self._check_may_speak()
                self._session.clear()
            case messages.Say(text):
                self._check_may_speak()
                self._later(self._say(text))
            case messages.Offer(sdp):
                await self._meet(sdp)
            case messages.Microphone(mode):
                self._turn_microphone(mode)
            case messages.Ping(at):
                self.tell({"kind": "pong", "at": at})

    def _hear(self, data: bytes) -> None:
        """A piece of sound."""
        self._check_may_speak()
        if self._hello is None:
            raise UserError("a hello with the rate before the sound", "sound", 'send {"kind": "hello", "rate": 16000}')
        channels = self._hello.channels
        if len(data) % (2 * channels):
            do = "keep what is left until the next message"
            raise UserError("whole samples of 16 bits", f"{len(data)} bytes of {channels} channels", do)
        if not data:
            return
        sound = np.frombuffer(data, "<i2").reshape(-1, channels)
        mono = sound[:, 0] if channels == 1 else sound.mean(axis=1).astype(np.int16)
        self._session.push(self, mono, self._hello.rate)

    def _check_may_speak(self) -> None:
        if not self._may_speak:
            raise UserError(
                "speech from a program at /feed", "speech from a page", "this session is shared: only listen"
            )

    def _turn_microphone(self, mode: str) -> None:
        if mode == "mirror":
            self._check_may_speak()
        if self._microphone == "mirror" and mode != "mirror":
            self._session.flush(self)
        self._microphone = mode

    def _heard(self, sound: np.ndarray, rate: int) -> None:
        """A piece of the page's microphone."""
        try:
            if self._microphone == "mirror":
                self._session.push(self, sound, rate)
            elif self._microphone == "listen":
                self._session.listen(sound, rate)
        except UserError as error:
            self.complain(error)

    async def _say(self, text: str) -> None:
        try:
            await self._session.say(self, text, self._server.asked.voice)
        except UserError as error:
            self.complain(error)

    async def _meet(self, sdp: str) -> None:
        """Connect by WebRTC; a newer connection takes the place of an older one."""
        await self._part()
        self._peer = peer = self._server.new_peer(self.tell, self._heard, self._lost)
        answer = await peer.answer(with_address(sdp, self._connection.remote_address[0]))
        self._session.peers.add(peer)
        self.tell({"kind": "answer", "sdp": answer})

    def _lost(self) -> None:
        """The WebRTC connection is gone while the socket is there: the page may make a new one."""
        if self._peer is not None:
            self.tell({"kind": "lost"})
            self._later(self._part())

    def part(self, why: str) -> None:
        """Close the connection, and say why."""
        self.tell({"kind": "problem", "text": why})
        self._later(self._connection.close(POLICY, "ended"))

    async def _part(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            self._session.peers.discard(peer)
            self._server.peers.discard(peer)
            await peer.close()

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def refuse(connection: ServerConnection, code: int, reason: str, text: str) -> None:
    """Say why nobody is let in."""
    with contextlib.suppress(websockets.ConnectionClosed):
        await connection.send(json.dumps({"kind": "full" if code == FULL else "problem", "text": text}))
        await connection.close(code, reason)
