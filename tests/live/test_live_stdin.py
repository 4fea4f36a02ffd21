"""Speech that comes by standard input."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable

from websockets.sync.client import connect

from gaussavatar.live import stdin
from gaussavatar.live.server import LiveServer

from .conftest import address, speech, until


def test_what_is_piped_in_is_spoken_to_everybody_and_pauses_end_segments(serve: Callable[..., LiveServer]) -> None:
    server, said = serve(shared=True), []
    read, write = os.pipe()
    arguments = (server.sessions["everybody"], 16_000, server._loop, said.append, read)
    thread = threading.Thread(target=stdin._follow, args=arguments)
    with connect(address(server, "/live")) as page:
        thread.start()
        positions = []

        def finished() -> None:
            while (message := json.loads(page.recv(timeout=20))).get("event") != "finished":
                pass
            positions.append(message["position"])

        # The odd byte goes before the rest of its sample.
        data = speech(0.4).tobytes()
        os.write(write, data[:3001])
        os.write(write, data[3001:])
        finished()
        os.write(write, speech(0.6).tobytes())
        os.close(write)
        finished()
    assert [round(one, 2) for one in positions] == [0.4, 0.6]
    until(lambda: said == ["standard input has ended"])
    thread.join()
    os.close(read)
