"""Threads that make the frames of all sessions when they are due."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable

from gaussavatar.live.given import Given
from gaussavatar.live.session import Session

LONGEST_NAP = 0.02
"""Seconds after which a new session is seen."""

GRID = 0.01
"""Seconds: sessions begin at multiples of this, so that frames of many are made and handed over together."""

PATIENCE = 0.005
"""Seconds of work after which what was made until then is handed over."""


class Pacer:
    """One thread, which makes frames and hands them to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, broken: Callable[[Session], None]) -> None:
        """Begin, with no session.

        Args:
            loop: of the server.
            broken: called in the loop with a session that failed; it is not asked again.
        """
        self._loop, self._broken = loop, broken
        self._due: dict[Session, float] = {}
        self._gone: list[Session] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="gaussavatar-live")
        self._thread.start()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, session: Session) -> None:
        """Make a session's frames from now on."""
        with self._lock:
            self._due[session] = 0.0

    def remove(self, session: Session) -> None:
        """Make no more of them; the session is closed by this thread."""
        with self._lock:
            if self._due.pop(session, None) is not None:
                self._gone.append(session)

    def close(self) -> None:
        """End the thread and close its sessions."""
        with self._lock:
            self._gone += self._due
            self._due.clear()
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._step()
            with self._lock:
                soonest = min(self._due.values(), default=float("inf"))
            self._stop.wait(min(max(soonest - time.monotonic(), 0.001), LONGEST_NAP))
        self._let_go()

    def _step(self) -> None:
        self._let_go()
        with self._lock:
            now = time.monotonic()
            due = [session for session, at in self._due.items() if at <= now]
        made: list[tuple[Session, Given]] = []
        for session in due:
            try:
                made += [(session, one) for one in session.step(now // GRID * GRID)]
            # One session that breaks is no reason for the others to end.
            except Exception:
                traceback.print_exc()
                self.remove(session)
                self._loop.call_soon_threadsafe(self._broken, session)
                continue
            if time.monotonic() - now > PATIENCE:
                made, now = self._hand_over(made), time.monotonic()
            with self._lock:
                if session in self._due:
                    self._due[session] = session.due
        self._hand_over(made)

    def _hand_over(self, made: list[tuple[Session, Given]]) -> list[tuple[Session, Given]]:
        """Wake the loop once for all that was made; nothing is left."""
        if made:
            self._loop.call_soon_threadsafe(_deliver, made, self._loop)
        return []

    def _let_go(self) -> None:
        with self._lock:
            gone, self._gone = self._gone, []
        for session in gone:
            session.close()


def _deliver(made: list[tuple[Session, Given]], loop: asyncio.AbstractEventLoop) -> None:
    for session, one in made:
        session.deliver(one, loop)
