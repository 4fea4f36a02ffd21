"""The viewer whose pages draw by themselves: a server that is up before anything heavy is loaded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaussavatar.errors import UserError
from gaussavatar.serving.address import is_loopback, page_address
from gaussavatar.serving.door import DoorConfig, Served, new_token
from gaussavatar.serving.player import web_file
from gaussavatar.serving.until import serve_until_stopped
from gaussavatar.view.door import LARGEST_MESSAGE, ViewDoor
from gaussavatar.view.shown import Shown

if TYPE_CHECKING:
    from gaussavatar.view.session import Session

POLL_EVERY = 0.01
"""Seconds between looks at the panels: what a slider does is on its way within that."""

MOST_PAGES = 16
"""Pages that are open at once; each has panels of its own."""


@dataclass(frozen=True)
class Asked:
    """What the verb was asked to show."""

    folders: Sequence[Path]
    audio: Path | None = None
    motion: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080


@dataclass
class PageServer:
    """Holds the door, the avatars and a session per page."""

    asked: Asked
    sessions: dict[int, Session] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)
    """Pages that have not gone: one may go while its session is being made."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _ready: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        asked = self.asked
        self.shown = Shown(asked.folders, self._tell_avatars)
        token = "" if is_loopback(asked.host) else new_token()
        config = DoorConfig(asked.host, asked.port, token, largest=LARGEST_MESSAGE)
        self.door = ViewDoor(config, self._file, self._heard, self._panels)
        self.address = page_address(asked.host, asked.port, token)

    def open(self) -> None:
        """Let pages in, and load what they will want meanwhile.

        Raises:
            UserError: the port or the address cannot be had.
        """
        self.door.open()
        threading.Thread(target=self._load, daemon=True).start()

    def close(self) -> None:
        """Let go of everything."""
        self._stop.set()
        for session in list(self.sessions.values()):
            session.close()
        self.door.close()

    def run(self) -> None:
        """Follow the panels until :meth:`close` or Ctrl-C."""
        while not self._stop.wait(POLL_EVERY):
            for session in list(self.sessions.values()):
                session.poll()

    def _load(self) -> None:
        # What sessions import is loaded first: the page already draws what was packed before.
        import gaussavatar.view.session as _  # noqa: F401

        self._ready.set()
        self._tell_avatars()
        self.shown.load()

    def _file(self, path: str) -> Served | None:
        if path in ("/", "/index.html"):
            path = "/web/viewer/index.html"
        if path.startswith("/web/"):
            return web_file(path.removeprefix("/web/"))
        return self.shown.at(path)

    def _panels(self, page: int) -> int | None:
        session = self.sessions.get(page)
        return None if session is None else session.panels_port

    def _tell_avatars(self) -> None:
        self.door.tell({"kind": "avatars", "list": self.shown.listed()})

    def _heard(self, page: int, message: Any) -> None:
        if message is None:
            with self._lock:
                self._open.discard(page)
                session = self.sessions.pop(page, None)
            if session is not None:
                session.close()
            return
        if isinstance(message, dict) and message.get("kind") == "opened":
            with self._lock:
                self._open.add(page)
            self.door.tell({"kind": "avatars", "list": self.shown.listed()}, page)
            threading.Thread(target=self._begin, args=(page,), daemon=True).start()
            return
        session = self.sessions.get(page)
        if session is not None:
            session.hear(message)

    def _begin(self, page: int) -> None:
        """Open the panels of a page as soon as what they need is loaded."""
        self._ready.wait()
        from gaussavatar.view.session import Session, played

        def tell(message: Any) -> None:
            self.door.tell(message, page)

        if len(self.sessions) >= MOST_PAGES:
            tell({"kind": "problem", "text": f"{MOST_PAGES} pages are open already; close one"})
            return
        try:
            sound = None if self.asked.audio is None else played(self.asked.audio)
        except UserError as error:
            tell({"kind": "problem", "text": str(error)})
            sound = None
        session = Session(page, self.shown, tell, sound, self.asked.motion)
        with self._lock:
            still_there = page in self._open
            if still_there:
                self.sessions[page] = session
        if not still_there:
            session.close()


def serve_pages(asked: Asked, open_browser: bool) -> None:
    """Show avatars in the browser until interrupted.

    Raises:
        UserError: the port or the address cannot be had.
    """
    server = PageServer(asked)
    server.open()
    serve_until_stopped("viewer", server.address, asked.host, open_browser, server.close, server.run)
