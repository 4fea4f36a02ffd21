"""The server: its door, its sessions, the threads that make their frames."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from aiortc.exceptions import InvalidStateError
from websockets.asyncio.server import ServerConnection

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.live.session import LONGEST
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.mark import mark_of
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.beside import pack_beside, packed_path
from gaussavatar.live.client import FULL, POLICY, Client, refuse
from gaussavatar.live.config import LiveConfig
from gaussavatar.live.limits import LARGEST_MESSAGE, LINGER, MESSAGES_PER_SECOND, SESSION
from gaussavatar.live.pacer import Pacer
from gaussavatar.live.peer import Peer
from gaussavatar.live.record import Recordings
from gaussavatar.live.session import Session
from gaussavatar.live.sound import RATE
from gaussavatar.live.stdin import follow_stdin
from gaussavatar.live.stun import stun_answers, stun_place
from gaussavatar.serving.address import is_loopback, page_address
from gaussavatar.serving.door import Door, DoorConfig, Served, new_token
from gaussavatar.serving.player import web_file
from gaussavatar.serving.until import serve_until_stopped
from gaussavatar.speak.text.registry import engines, usable

EVERYBODY = "everybody"
"""Name of the session that a shared server has."""

PING = 8.0
"""Seconds after which a client that is silent is asked whether it lives, and seconds that it has to answer."""


class LiveServer(Door):
    """Serves an avatar between :meth:`open` and :meth:`close`."""

    def __init__(self, config: LiveConfig, avatar: Avatar, drawn_from: bytes | None, says_text: bool) -> None:
        """Prepare.

        Args:
            config: what is asked for.
            avatar: who speaks.
            drawn_from: the avatar's file for the browser; None where pictures are drawn here.
            says_text: whether a speech engine is there.

        Raises:
            UserError: what is asked for names no STUN server, or no file to record to.
        """
        if config.stun:
            stun_place(config.stun)
        token = "" if is_loopback(config.host) else new_token()
        super().__init__(DoorConfig(config.host, config.port, token, largest=LARGEST_MESSAGE, ping=PING), self._file)
        self.asked, self.avatar, self._stun = config, avatar, config.stun
        self.sessions: dict[str, Session] = {}
        self.peers: set[Peer] = set()
        self._making: dict[str, asyncio.Task[Session]] = {}
        self._drawn_from, self._says_text = drawn_from, says_text
        self._connected: Counter[str] = Counter()
        self._recordings = None if config.record is None else Recordings(config.record, facts_of(avatar), say)

    @property
    def visitors(self) -> int:
        """How many pages are connected."""
        return self._connected["/live"]

    @property
    def full(self) -> str:
        """What a visitor is told for whom there is no place."""
        return f"All places are taken, {self.asked.most_visitors} visitors are here already; come back later."

    def welcome(self, session: Session, may_speak: bool) -> dict[str, Any]:
        """What a client is told first."""
        live = session.live
        return {
            "kind": "welcome",
            "session": session.name,
            "name": self.avatar.name,
            "render": self.asked.render,
            "fps": 25,
            "look_ahead": round(live.look_ahead, 4),
            "delay": round(live.delay, 4),
            "may_speak": may_speak,
            "text": self._says_text and may_speak,
            "stun": self._stun,
            "limits": {
                "message_bytes": LARGEST_MESSAGE,
                "messages_per_second": MESSAGES_PER_SECOND,
                "queued_seconds": LONGEST,
            },
        }

    def new_peer(
        self,
        tell: Callable[[dict[str, Any]], None],
        heard: Callable[[np.ndarray, int], None],
        lost: Callable[[], None],
    ) -> Peer:
        """A WebRTC connection for a page."""
        peer = Peer(self.asked.render == "server", self._stun, tell, heard, lost)
        self.peers.add(peer)
        return peer

    async def opened(self) -> None:
        """Begin to make frames; a shared session is there before its first visitor."""
        self._loop.set_exception_handler(_unless_gone)
        if self._stun and not await stun_answers(self._stun):
            say(f"{self._stun} does not answer: who is not in this machine's network will hear and see nothing")
            self._stun = ""
        self.pacer = Pacer(self._loop, self._broken)
        if self.asked.shared:
            session = await self._session("")
            if self.asked.stdin_rate is not None:
                follow_stdin(session, self.asked.stdin_rate, self._loop, say)

    def close(self) -> None:
        """End; recordings get their names, however long that takes."""
        super().close()
        if self._recordings is not None:
            self._recordings.close()

    async def closing(self) -> None:
        """End every session."""
        await asyncio.gather(*(peer.close() for peer in list(self.peers)))
        await asyncio.to_thread(self.pacer.close)

    async def socket(self, connection: ServerConnection) -> None:
        """Talk to a page (/live) or a program that speaks (/feed)."""
        split = urlsplit(connection.request.path if connection.request is not None else "")
        if split.path not in ("/live", "/feed"):
            return await refuse(connection, POLICY, "no such socket", "sockets are at /live and /feed")
        named = parse_qs(split.query).get("session", [""])[0]
        if named and not SESSION.fullmatch(named):
            return await refuse(connection, POLICY, "session", "a session's name is 1 to 64 letters, digits, - or _")
        if self._connected[split.path] >= self.asked.most_visitors:
            return await refuse(connection, FULL, "full", self.full)
        self._connected[split.path] += 1
        try:
            session = await self._session(named)
            may_speak = split.path == "/feed" or not self.asked.shared
            await Client(self, session, connection, may_speak).talk()
            self._loop.call_later(LINGER, self._leave, session)
        except UserError as error:
            await refuse(connection, POLICY, "no session", str(error))
        finally:
            self._connected[split.path] -= 1

    async def _session(self, named: str) -> Session:
        """The session of a name, which is made where there is none.

        Raises:
            UserError: it cannot be made.
        """
        name = EVERYBODY if self.asked.shared else named or secrets.token_urlsafe(9)
        if name in self.sessions:
            return self.sessions[name]
        if name not in self._making:
            self._making[name] = asyncio.create_task(self._make(name))
        # Who waits may vanish; others wait for the same.
        return await asyncio.shield(self._making[name])

    async def _make(self, name: str) -> Session:
        try:
            session = await asyncio.to_thread(self._new_session, name)
        finally:
            del self._making[name]
        self.sessions[name] = session
        self.pacer.add(session)
        return session

    def _new_session(self, name: str) -> Session:
        asked = self.asked
        pictures = asked.render == "server" or asked.record is not None
        live = self.avatar.live(
            render="image" if pictures else "motion",
            hearing=asked.hearing,
            size=asked.size,
            background=asked.background,
            rate=RATE,
        )
        return Session(name, live, None if self._recordings is None else self._recordings.begin(), pictures)

    def _leave(self, session: Session) -> None:
        """End a session in which nobody is any more."""
        if session.clients or self.asked.shared or self.sessions.get(session.name) is not session:
            return
        del self.sessions[session.name]
        self._end(session)

    def _end(self, session: Session) -> None:
        self.pacer.remove(session)

    def _broken(self, session: Session) -> None:
        self.sessions.pop(session.name, None)
        for client in list(session.clients):
            if isinstance(client, Client):
                client.part("this session has failed; the server's terminal says why")

    def _file(self, path: str) -> Served | None:
        if path in ("/", "/index.html"):
            path = "/web/live/index.html"
        if path == "/avatar.gsa" and self._drawn_from is not None:
            data = self._drawn_from
            return Served("application/octet-stream", lambda: data)
        return web_file(path.removeprefix("/web/")) if path.startswith("/web/") else None


def facts_of(avatar: Avatar) -> dict[str, str]:
    """What a recording says of itself."""
    return mark_of(avatar.loaded.record).facts()


def _unless_gone(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what nobody caught; but that a visitor goes while aiortc still connects is no news."""
    if not isinstance(context.get("exception"), InvalidStateError | ConnectionError):
        loop.default_exception_handler(context)


def say(text: str) -> None:
    """Write a line for who started the server."""
    print(text, flush=True)


def serve_live(asked: LiveConfig, open_browser: bool) -> None:
    """Serve an avatar until interrupted.

    Raises:
        UserError: the avatar cannot be loaded or drawn by a browser, or the port cannot be had.
    """
    avatar = Avatar(load_avatar(asked.avatar))
    drawn_from = None
    if asked.render == "client":
        path = packed_path(asked.avatar)
        drawn_from = pack_beside(asked.avatar, avatar.loaded) if path is None else path.read_bytes()
    server = LiveServer(asked, avatar, drawn_from, any(usable(engine, asked.voice.voice) for engine in engines()))
    # The loop waits for the interpreter after every packet; threads that make frames give it up sooner.
    sys.setswitchinterval(0.001)
    server.open()
    address = page_address(asked.host, asked.port, server.config.token)
    serve_until_stopped("live", address, asked.host, open_browser, server.close)
