"""The viewer's door: its page, its files, the page's socket, and viser behind it, on one port.

viser itself listens on loopback only and is reached through this server, so that one access token guards everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from gaussavatar.serving.door import Door, response

LARGEST_MESSAGE = 128 * 2**20
"""Bytes that a page may send at once: half an hour of dropped sound."""

PANELS = re.compile(r"/viser/(\d{1,9})(/.*)?")
"""Paths at which a page's viser is reached: the page's number is in them."""


@dataclass
class ViewDoor(Door):
    """Serves files by path and talks to pages; runs in a thread of its own between :meth:`open` and :meth:`close`."""

    heard: Callable[[int, Any], None]
    """Called with a page's number and a message: ``{"kind": "opened"}``, parsed JSON, or bytes; None at its end."""
    panels: Callable[[int], int | None]
    """The port on loopback where a page's viser listens; None where it has none."""
    _pages: dict[int, ServerConnection] = field(default_factory=dict)
    _count: int = 0

    def tell(self, message: Mapping[str, Any], page: int | None = None) -> None:
        """Send a message to a page, or to all."""
        text = json.dumps(message, separators=(",", ":"))
        self._loop.call_soon_threadsafe(self._send, text, page)

    @property
    def pages(self) -> int:
        """How many pages are open."""
        return len(self._pages)

    def _send(self, text: str, page: int | None) -> None:
        to = list(self._pages.values()) if page is None else [one for n, one in self._pages.items() if n == page]
        websockets.broadcast(to, text)

    async def answered(self, path: str) -> Response:
        """The answer to a request: of a page's viser, or a file."""
        if asked := PANELS.fullmatch(path):
            return await asyncio.to_thread(self._of_panels, int(asked[1]), asked[2] or "/")
        return await super().answered(path)

    def _of_panels(self, page: int, path: str) -> Response:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.panels(page) or 0}{path}", timeout=10) as answer:
                return response(http.HTTPStatus.OK, answer.headers.get_content_type(), answer.read())
        except OSError:
            return response(http.HTTPStatus.NOT_FOUND, "text/plain", b"nothing here\n")

    async def socket(self, connection: ServerConnection) -> None:
        """Pass on what a page says, or what its panels say."""
        path = urlsplit(connection.request.path).path if connection.request is not None else ""
        if asked := PANELS.fullmatch(path):
            await self._pass_panels(connection, self.panels(int(asked[1])) or 0)
            return
        self._count += 1
        number = self._count
        self._pages[number] = connection
        await asyncio.to_thread(self.heard, number, {"kind": "opened"})
        try:
            async for message in connection:
                told = _parsed(message)
                if told is not None:
                    await asyncio.to_thread(self.heard, number, told)
        except websockets.ConnectionClosed:
            pass
        finally:
            del self._pages[number]
            await asyncio.to_thread(self.heard, number, None)

    async def _pass_panels(self, page: ServerConnection, port: int) -> None:
        """Pass everything between a page and viser."""
        offered = [page.subprotocol] if page.subprotocol else None
        try:
            async with connect(f"ws://127.0.0.1:{port}", subprotocols=offered, max_size=None, proxy=None) as panels:
                ways = [asyncio.create_task(_pass(page, panels)), asyncio.create_task(_pass(panels, page))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        except (OSError, websockets.InvalidHandshake):
            await page.close(1011, "no panels")


async def _pass(source: Any, target: Any) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in source:
            await target.send(message)


def _parsed(message: str | bytes) -> Any:
    if isinstance(message, bytes):
        return message
    try:
        told = json.loads(message)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
