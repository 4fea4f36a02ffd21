"""A STUN server, which tells a machine its outer address: whether its name is one, and whether it answers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aioice import stun
from aiortc.rtcicetransport import parse_stun_turn_uri

from gaussavatar.errors import UserError

PATIENCE = 2.0
"""Seconds for an answer. Where one that is silent were kept, every visitor would wait for it five seconds."""

TRY_AGAIN = 0.5
"""Seconds between questions: their packets may be lost."""


def stun_place(address: str) -> tuple[str, int]:
    """Host and port of ``stun:HOST`` or ``stun:HOST:PORT``.

    Raises:
        UserError: it is neither.
    """
    try:
        parsed = parse_stun_turn_uri(address)
    except ValueError:
        parsed = {}
    if parsed.get("scheme") != "stun" or not 0 < parsed["port"] < 65536:
        raise UserError("a STUN server as stun:HOST:PORT for --stun", repr(address), "name one, or leave it out")
    return parsed["host"], parsed["port"]


class _Asked(asyncio.DatagramProtocol):
    """Waits for the answer to one question."""

    def __init__(self, question: stun.Message) -> None:
        self.question = question
        self.came = asyncio.Event()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        with contextlib.suppress(ValueError):
            if stun.parse_message(data).transaction_id == self.question.transaction_id:
                self.came.set()


async def stun_answers(address: str, seconds: float = PATIENCE) -> bool:
    """Whether a STUN server answers within some seconds.

    Raises:
        UserError: the address is none.
    """
    place = stun_place(address)
    question = _Asked(stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST))
    try:
        async with asyncio.timeout(seconds):
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: question, remote_addr=place
            )
            with contextlib.closing(transport):
                while not question.came.is_set():
                    transport.sendto(bytes(question.question))
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(question.came.wait(), TRY_AGAIN)
    except (TimeoutError, OSError):
        return False
    return True
