"""Two ends of a LiveKit room without a server: byte streams and calls go from one to the other, late as a network's.

No LiveKit server is to be had from the package registries. What is here stands for ``rtc.Room`` alone; what runs on it
are the agent's ``DataStreamAudioOutput``, the avatar's ``DataStreamAudioReceiver`` and ``AvatarRunner`` themselves.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from livekit import rtc

DELAYS = (0.005, 0.03)
"""Seconds that a message is on its way, from and to."""


async def travel() -> None:
    await asyncio.sleep(random.uniform(*DELAYS))


class Stream:
    """A byte stream: what one end writes, the other reads in order."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.info = SimpleNamespace(attributes=attributes, stream_id="stream")
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def write(self, data: bytes) -> None:
        await travel()
        self._chunks.put_nowait(data)

    async def aclose(self) -> None:
        await travel()
        self._chunks.put_nowait(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._chunks.get()
        if data is None:
            raise StopAsyncIteration
        return data


class LocalEnd:
    """What a room calls its ``local_participant``."""

    def __init__(self, room: Room) -> None:
        self._room, self.identity, self.published = room, room.identity, []
        self._rpc_handlers: dict[str, Callable[[rtc.RpcInvocationData], str]] = {}

    def register_rpc_method(self, name: str, handler: Callable[[rtc.RpcInvocationData], str]) -> None:
        self._rpc_handlers[name] = handler

    async def perform_rpc(self, *, destination_identity: str, method: str, payload: str, **_: Any) -> str:
        await travel()
        handlers = self._room.other(destination_identity).local_participant._rpc_handlers
        if method not in handlers:
            raise rtc.RpcError(rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD, "unsupported")
        return handlers[method](rtc.RpcInvocationData("1", self.identity, payload, 10.0))

    async def stream_bytes(
        self, name: str, *, topic: str, destination_identities: list[str], attributes: dict[str, str]
    ) -> Stream:
        await travel()
        stream = Stream(attributes)
        for identity in destination_identities:
            self._room.other(identity).handlers[topic](stream, self.identity)
        return stream

    async def publish_track(self, track: Any, options: Any) -> Any:
        await travel()
        self.published.append(track)
        return SimpleNamespace(wait_for_subscription=travel)


class Room(rtc.EventEmitter):
    """One end; :func:`joined` makes two."""

    def __init__(self, identity: str, kind: int) -> None:
        super().__init__()
        self.identity, self.kind = identity, kind
        self.handlers: dict[str, Callable[[Stream, str], None]] = {}
        self.remote_participants: dict[str, Any] = {}
        self._others: dict[str, Room] = {}
        self._is_connected = False
        self.local_participant = LocalEnd(self)

    async def connect(self, url: str, token: str) -> None:
        await travel()
        self._is_connected = True
        self.emit("connection_state_changed", rtc.ConnectionState.CONN_CONNECTED)

    def isconnected(self) -> bool:
        return self._is_connected

    def other(self, identity: str) -> Room:
        return self._others[identity]

    def register_byte_stream_handler(self, topic: str, handler: Callable[[Stream, str], None]) -> None:
        self.handlers[topic] = handler

    def meet(self, other: Room) -> None:
        self._others[other.identity] = other
        self.remote_participants[other.identity] = SimpleNamespace(
            identity=other.identity, kind=other.kind, state=rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE
        )


def joined() -> tuple[Room, Room]:
    """The agent's end and the avatar's."""
    agent = Room("agent", rtc.ParticipantKind.PARTICIPANT_KIND_AGENT)
    avatar = Room("avatar", rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD)
    agent.meet(avatar)
    avatar.meet(agent)
    return agent, avatar
