"""A door: files by path and sockets on one port, guarded by one access token; runs in a thread of its own."""

from __future__ import annotations

import abc
import asyncio
import hmac
import http
import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from gaussavatar.errors import UserError

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
    """Where a door is, and who is let in."""

    host: str
    port: int
    token: str = ""
    """What a page has to know; "" lets every page of this machine in."""
    names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    """Host names that are answered while there is no token: another one is a foreign page's trick with DNS."""
    largest: int = 2**20
    """Bytes of the largest message that a socket may send; its connection ends at a larger one."""
    ping: float = 20.0
    """Seconds after which a silent socket is asked whether it lives, and seconds that it has to answer."""


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(18)


@dataclass
class Door(abc.ABC):
    """Serves between :meth:`open` and :meth:`close`; who inherits says what is done with a socket."""

    config: DoorConfig
    files: Callable[[str], Served | None]
    """What stands at a path; None where there is nothing."""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, kw_only=True)

    def open(self) -> None:
        """Begin to serve.

        Raises:
            UserError: the port or the address cannot be had.
            Exception: what :meth:`opened` raises.
        """
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.result()

    def close(self) -> None:
        """End; pages lose their connection."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)

    @abc.abstractmethod
    async def socket(self, connection: ServerConnection) -> None:
        """Talk over a socket that was let in, until it ends."""

    async def opened(self) -> None:
        """Called in the loop when the port is had, before anybody is waited for; what it raises, :meth:`open` does."""
        return

    async def closing(self) -> None:
        """Called in the loop before sockets are closed."""
        return

    async def answered(self, path: str) -> Response:
        """The answer to a request for a path."""
        return await asyncio.to_thread(self._of_files, path)

    def _run(self, ready: Future[None]) -> None:
        asyncio.set_event_loop(self._loop)
        self._stop = asyncio.Event()
        self._loop.run_until_complete(self._serve(ready))

    async def _serve(self, ready: Future[None]) -> None:
        config = self.config
        try:
            server: Server = await serve(
                self.socket,
                config.host,
                config.port,
                process_request=self._answer,
                select_subprotocol=lambda _, offered: offered[0] if offered else None,
                max_size=config.largest,
                ping_interval=config.ping,
                ping_timeout=config.ping,
                close_timeout=2,
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
            try:
                await self.opened()
            except Exception as error:  # Who waits for the door learns why it does not open.
                return ready.set_exception(error)
            ready.set_result(None)
            await self._stop.wait()
            await self.closing()

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """A file, a refusal, or None: the request goes on to become a socket."""
        split = urlsplit(request.path)
        if not self._let_in(request, split.query):
            return response(http.HTTPStatus.FORBIDDEN, "text/plain", b"this page wants the address with its token\n")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if _foreign(request):
                return response(http.HTTPStatus.FORBIDDEN, "text/plain", b"a page of another address\n")
            return None
        answer = await self.answered(split.path)
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
            return response(http.HTTPStatus.NOT_FOUND, "text/plain", b"nothing here\n")
        return response(http.HTTPStatus.OK, served.mime, served.body())


def _foreign(request: Request) -> bool:
    """Whether another site's page opens the socket: browsers let them, and say whose page it is."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host", "")


def response(status: http.HTTPStatus, mime: str, body: bytes) -> Response:
    """A whole answer, after which the connection ends."""
    kind = f"{mime}; charset=utf-8" if mime.startswith("text/") else mime
    headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
    headers.update(_SECURITY)
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, body)
