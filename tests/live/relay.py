"""A bad network on this machine: what goes from the server to a page comes late, unevenly, or not for a while."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field

CANDIDATE = re.compile(r"^a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) typ host.*$", re.MULTILINE | re.IGNORECASE)


@dataclass
class Network:
    """How bad it is.

    Attributes:
        jitter: datagrams come up to so many seconds late, each by its own.
        stall_every: seconds between the beginnings of stalls; 0 has none.
        stall: seconds for which everything is held back, and comes at once afterwards.
    """

    jitter: float = 0.0
    stall_every: float = 0.0
    stall: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    began: float = 0.0
    passed: int = 0
    stalls: set[int] = field(default_factory=set)

    def late(self, now: float) -> float:
        """By how much a datagram of now is to be late, seconds."""
        wait = self.chance.uniform(0, self.jitter)
        round_, place = divmod(now - self.began, self.stall_every or 1e9)
        if self.stall_every and round_ >= 1 and place < self.stall:
            self.stalls.add(int(round_))
            wait += self.stall - place
        return wait


class Relay:
    """Stands between pages and a server whose peers it is given; datagrams keep no order, as on a real network."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._transports: list[asyncio.DatagramTransport] = []

    async def offer(self, sdp: str) -> str:
        """The page's offer, without its addresses: the server answers the relay."""
        return re.sub(r"a=candidate:.*\r\n", "", sdp)

    async def answer(self, sdp: str) -> str:
        """The server's answer, with the relay's address instead of its own."""
        loop = asyncio.get_running_loop()
        self.network.began = self.network.began or loop.time()
        found = [match for match in CANDIDATE.finditer(sdp) if ":" not in match[1]]
        host, port = found[0][1], int(found[0][2])
        front, _ = await loop.create_datagram_endpoint(lambda: _Front(self, (host, port)), local_addr=(host, 0))
        self._transports.append(front)
        mine = found[0][0].replace(f" {port} typ", f" {front.get_extra_info('sockname')[1]} typ")
        for match in CANDIDATE.finditer(sdp):
            sdp = sdp.replace(match[0], mine if match[0] == found[0][0] else "a=x-gone")
        return sdp

    def close(self) -> None:
        for transport in self._transports:
            transport.close()


class _Front(asyncio.DatagramProtocol):
    """Takes what the page sends; what comes back goes to it through the bad network."""

    def __init__(self, relay: Relay, server: tuple[str, int]) -> None:
        self._relay, self._server = relay, server
        self._page: tuple[str, int] | None = None
        self._back: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._front = transport
        asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        back, _ = await loop.create_datagram_endpoint(lambda: _Back(self), local_addr=(self._server[0], 0))
        self._back = back
        self._relay._transports.append(back)
        for data in self._early:
            back.sendto(data, self._server)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._page = addr
        if self._back is None:
            self._early.append(data)
        else:
            self._back.sendto(data, self._server)

    def back(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._relay.network.passed += 1
        loop.call_later(self._relay.network.late(loop.time()), self._send, data)

    def _send(self, data: bytes) -> None:
        if self._page is not None and not self._front.is_closing():
            self._front.sendto(data, self._page)


class _Back(asyncio.DatagramProtocol):
    def __init__(self, front: _Front) -> None:
        self._front = front

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._front.back(data)
