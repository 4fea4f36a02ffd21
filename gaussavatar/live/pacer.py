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
    """Threads that make frames and hand them to the loop: one for who is at rest, one for who has something to say.

    Speech takes a hundred times what rest does; who rests does not wait for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, broken: Callable[[Session], None]) -> None:
        """Begin, with no session.

        Args:
            loop: of the server.
            broken: called in the loop with a session that failed; it is not asked again.
        """
        self._loop, self._broken = loop, broken
        self._due: dict[Session, float] = {}
        self._taken: set[Session] = set()
        """Those at which a thread is at work: no other one touches them."""
        self._gone: list[Session] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(engaged,), daemon=True, name=f"gaussavatar-live-{name}")
            for engaged, name in ((False, "rest"), (True, "speech"))
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, session: Session) -> None:
        """Make a session's frames from now on."""
        with self._lock:
            self._due[session] = 0.0

    def remove(self, session: Session) -> None:
        """Make no more of them; the session is closed by one of the threads."""
        with self._lock:
            if self._due.pop(session, None) is not None:
                self._gone.append(session)

    def close(self) -> None:
        """End the threads and close their sessions."""
        with self._lock:
            self._gone += self._due
            self._due.clear()
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
        self._let_go()

    def _run(self, engaged: bool) -> None:
        while not self._stop.is_set():
            self._step(engaged)
            with self._lock:
                soonest = min((at for one, at in self._due.items() if one not in self._taken), default=float("inf"))
            self._stop.wait(min(max(soonest - time.monotonic(), 0.001), LONGEST_NAP))

    def _step(self, engaged: bool) -> None:
        self._let_go()
        with self._lock:
            now = time.monotonic()
            due = [
                session
                for session, at in self._due.items()
                if at <= now and session not in self._taken and (session.draws or session.live.engaged is engaged)
            ]
            due.sort(key=self._due.__getitem__)
            # Pictures take longer than anything else: both threads draw, one after another.
            if any(session.draws for session in due):
                due = due[:1]
            self._taken.update(due)
        made: list[tuple[Session, Given]] = []
        for session in due:
            try:
                made += [(session, one) for one in session.step(now // GRID * GRID)]
            # One session that breaks is no reason for the others to end.
            except Exception:
                traceback.print_exc()
                self.remove(session)
                self._loop.call_soon_threadsafe(self._broken, session)
            with self._lock:
                self._taken.discard(session)
                if session in self._due:
                    self._due[session] = session.due
            if time.monotonic() - now > PATIENCE:
                made, now = self._hand_over(made), time.monotonic()
        self._hand_over(made)

    def _hand_over(self, made: list[tuple[Session, Given]]) -> list[tuple[Session, Given]]:
        """Wake the loop once for all that was made; nothing is left."""
        if made:
            self._loop.call_soon_threadsafe(_deliver, made, self._loop)
        return []

    def _let_go(self) -> None:
        with self._lock:
            gone = [session for session in self._gone if session not in self._taken]
            self._gone = [session for session in self._gone if session in self._taken]
        for session in gone:
            session.close()


def _deliver(made: list[tuple[Session, Given]], loop: asyncio.AbstractEventLoop) -> None:
    for session, one in made:
        session.deliver(one, loop)
