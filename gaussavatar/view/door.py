"""The one door of the viewer: its page, its files, the page's socket, and viser behind it, on one port.

viser itself listens on loopback only and is reached through this server, so that one access token guards everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http
import json
import logging
import re
import secrets
import threading
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from gaussavatar.errors import UserError

LARGEST_MESSAGE = 128 * 2**20
"""Bytes that a page may send at once: half an hour of dropped sound."""

PANELS = re.compile(r"/viser/(\d{1,9})(/.*)?")
"""Paths at which a page's viser is reached: the page's number is in them."""

COOKIE = "gaussavatar-token"

_QUIET = logging.Logger("gaussavatar.door", logging.CRITICAL)
"""Browsers open connections that they may need and close them unused: nothing of that is for the user to read."""

_SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


@dataclass(frozen=True)
class Served:
    """What a path answers with."""

    mime: str
    body: Callable[[], bytes]
    """Called for each request, from a thread of its own."""


@dataclass(frozen=True)
class DoorConfig:
    """Where the door is, and what is behind it."""

    host: str
    port: int
    token: str = ""
    """What a page has to know; "" lets every page of this machine in."""
    names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    """Host names that are answered while there is no token: another one is a foreign page's trick with DNS."""


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(18)


@dataclass
class Door:
    """Serves files by path and talks to pages; runs in a thread of its own between :meth:`open` and :meth:`close`."""

    config: DoorConfig
    files: Callable[[str], Served | None]
    """What stands at a path; None where there is nothing."""
    heard: Callable[[int, Any], None]
    """Called with a page's number and a message: ``{"kind": "opened"}``, parsed JSON, or bytes; None at its end."""
    panels: Callable[[int], int | None]
    """The port on loopback where a page's viser listens; None where it has none."""
    _pages: dict[int, ServerConnection] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _count: int = 0

    def open(self) -> None:
        """Begin to serve.

        Raises:
            UserError: the port or the address cannot be had.
        """
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.result()

    def close(self) -> None:
        """End; pages lose their connection."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)

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

    def _run(self, ready: Future[None]) -> None:
        asyncio.set_event_loop(self._loop)
        self._stop = asyncio.Event()
        self._loop.run_until_complete(self._serve(ready))

    async def _serve(self, ready: Future[None]) -> None:
        config = self.config
        try:
            server: Server = await serve(
                self._page,
                config.host,
                config.port,
                process_request=self._answer,
                select_subprotocol=lambda _, offered: offered[0] if offered else None,
                max_size=LARGEST_MESSAGE,
                compression=None,
                server_header=None,
                logger=_QUIET,
                origins=None,
            )
        except OSError as error:
            do = "name another one with --port, or another --host"
            ready.set_exception(UserError(f"port {config.port} of {config.host} to be free", str(error), do))
            return
        async with server:
            ready.set_result(None)
            await self._stop.wait()

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """A file, a refusal, or None: the request goes on to become a socket."""
        split = urlsplit(request.path)
        if not self._let_in(request, split.query):
            return _response(http.HTTPStatus.FORBIDDEN, "text/plain", b"this page wants the address with its token\n")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if _foreign(request):
                return _response(http.HTTPStatus.FORBIDDEN, "text/plain", b"a page of another address\n")
            return None
        if asked := PANELS.fullmatch(split.path):
            answer = await asyncio.to_thread(self._of_panels, int(asked[1]), asked[2] or "/")
        else:
            answer = await asyncio.to_thread(self._of_files, split.path)
        if self.config.token:
            answer.headers["Set-Cookie"] = f"{COOKIE}={self.config.token}; HttpOnly; SameSite=Strict; Path=/"
        return answer

    def _let_in(self, request: Request, query: str) -> bool:
        if not self.config.token:
            name = request.headers.get("Host", "").rpartition(":")[0].strip("[]")
            return (name or request.headers.get("Host", "")) in self.config.names
        cookies = (part.strip().partition("=") for part in request.headers.get("Cookie", "").split(";"))
        told = [value for name, _, value in cookies if name == COOKIE] + parse_qs(query).get("token", [])
        return any(hmac.compare_digest(value.encode(), self.config.token.encode()) for value in told)

    def _of_files(self, path: str) -> Response:
        served = self.files(path)
        if served is None:
            return _response(http.HTTPStatus.NOT_FOUND, "text/plain", b"nothing here\n")
        return _response(http.HTTPStatus.OK, served.mime, served.body())

    def _of_panels(self, page: int, path: str) -> Response:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.panels(page) or 0}{path}", timeout=10) as answer:
                return _response(http.HTTPStatus.OK, answer.headers.get_content_type(), answer.read())
        except OSError:
            return _response(http.HTTPStatus.NOT_FOUND, "text/plain", b"nothing here\n")

    async def _page(self, connection: ServerConnection) -> None:
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


def _foreign(request: Request) -> bool:
    """Whether another site's page opens the socket: browsers let them, and say whose page it is."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host", "")


def _response(status: http.HTTPStatus, mime: str, body: bytes) -> Response:
    kind = f"{mime}; charset=utf-8" if mime.startswith("text/") else mime
    headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
    headers.update(_SECURITY)
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, body)
