"""Speech that comes by standard input as PCM."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
import time
from collections.abc import Callable

from gaussavatar.errors import UserError
from gaussavatar.live.session import Session

PIECE = 0.1
"""Seconds of sound that are read at once."""

AHEAD = 2.0
"""Seconds of sound that are read before they are spoken."""

PAUSE = 0.4
"""Seconds without sound after which a segment is over."""


def follow_stdin(session: Session, rate: int, loop: asyncio.AbstractEventLoop, say: Callable[[str], None]) -> None:
    """Let a session speak what comes by standard input (mono, 16 bits, little endian), from a thread of its own.

    Args:
        session: who speaks.
        rate: samples per second of what comes.
        loop: the session's.
        say: called with what the user should read.
    """
    threading.Thread(target=_follow, args=(session, rate, loop, say, sys.stdin.fileno()), daemon=True).start()


def _comes(file: int) -> bool:
    """Whether something comes within a pause; where only sockets can be asked, as on Windows, it is waited for."""
    return os.name == "nt" or bool(select.select([file], [], [], PAUSE)[0])


def _follow(
    session: Session, rate: int, loop: asyncio.AbstractEventLoop, say: Callable[[str], None], file: int
) -> None:
    odd, speaking, source = b"", False, object()

    def push(sound: bytes) -> None:
        try:
            session.push(source, sound, rate)
        except UserError as error:
            say(str(error))

    while True:
        while session.live.stats.queued_seconds > AHEAD:
            time.sleep(PIECE / 2)
        if not _comes(file):
            if speaking:
                loop.call_soon_threadsafe(session.flush, source)
            speaking = False
            continue
        data = os.read(file, int(2 * rate * PIECE))
        if not data:
            break
        data = odd + data
        odd = data[len(data) - len(data) % 2 :]
        if whole := data[: len(data) - len(odd)]:
            loop.call_soon_threadsafe(push, whole)
            speaking = True
    loop.call_soon_threadsafe(session.flush, source)
    say("standard input has ended")
