"""What every measurement of the live page needs: a server, a page that is connected, speech without end."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import connect

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.load import load_avatar
from gaussavatar.export.gsa.beside import pack_beside, packed_path
from gaussavatar.live.config import LiveConfig
from gaussavatar.live.server import LiveServer
from gaussavatar.serving.address import free_port
from tests.live.conftest import address
from tests.web.browser import Page


def opened(folder: Path, **options: Any) -> LiveServer:
    avatar = Avatar(load_avatar(folder))
    path = packed_path(folder)
    data = pack_beside(folder, avatar.loaded) if path is None else path.read_bytes()
    config = LiveConfig(folder, port=free_port("127.0.0.1", 8300), **options)
    server = LiveServer(config, avatar, data, says_text=False)
    server.open()
    return server


def feed(server: LiveServer, session: str, voice: np.ndarray, seconds: float, stop: threading.Event) -> None:
    """Speech without end, in pieces as a program sends it."""
    piece, sent, began = 1600, 0, time.monotonic()
    with suppress(Exception), connect(address(server, f"/feed?session={session}")) as socket:
        socket.send(json.dumps({"kind": "hello", "rate": 16000}))
        while not stop.is_set() and sent < seconds * 16000:
            at = sent % (len(voice) - piece)
            socket.send(voice[at : at + piece].tobytes())
            sent += piece
            stop.wait(max(0.0, began + sent / 16000 - 0.5 - time.monotonic()))
        socket.send(json.dumps({"kind": "flush"}))
        stop.wait(5)


def visited(page: Page, server: LiveServer, session: str) -> None:
    page.open(f"http://127.0.0.1:{server.config.port}/?session={session}")
    page.wait_for("window.gaussavatarLive")
    page.evaluate("gaussavatarLive.actions.connect()")
    page.wait_for("document.getElementById('state').textContent === 'Connected'")
    page.wait_for("avatar.frames > 3")
