"""A STUN server that is none, that is silent, and that answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest

pytest.importorskip("aiortc", reason="the extra stream is not installed")

from aioice import stun  # noqa: E402

from gaussavatar.errors import UserError  # noqa: E402
from gaussavatar.live.server import LiveServer  # noqa: E402
from gaussavatar.live.stun import stun_answers, stun_place  # noqa: E402

from .conftest import Visit  # noqa: E402


@pytest.mark.parametrize(
    "address", ["example.org", "stun:", "turn:example.org", "http://a", "stun:a:99999", "stun:a:b"]
)
def test_what_is_no_stun_server_is_said_at_once(serve: Callable[..., LiveServer], address: str) -> None:
    with pytest.raises(UserError, match="stun:HOST:PORT"):
        serve(stun=address)


def test_names_have_the_usual_port() -> None:
    assert stun_place("stun:example.org") == ("example.org", 3478)
    assert stun_place("stun:192.0.2.1:5000") == ("192.0.2.1", 5000)


def test_one_that_answers_is_heard_and_one_that_does_not_is_not_waited_for() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        place = f"stun:127.0.0.1:{server.getsockname()[1]}"
        assert not asyncio.run(stun_answers(place, 0.1))
        server.recvfrom(1000)

        def answer() -> None:
            data, asker = server.recvfrom(1000)
            server.sendto(b"nonsense", asker)
            server.sendto(bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, data[8:20])), asker)

        thread = threading.Thread(target=answer)
        thread.start()
        assert asyncio.run(stun_answers(place, 20))
        thread.join()
    assert not asyncio.run(stun_answers(place, 0.1)), "nobody listens"


def test_visitors_come_without_one_that_is_silent(
    serve: Callable[..., LiveServer], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = serve(stun=f"stun:127.0.0.1:{silent.getsockname()[1]}")

        async def visit() -> None:
            async with Visit(server) as visit:
                assert (await visit.hear("kind", "welcome"))["stun"] == ""
                await visit.wait(lambda: visit.motion and visit.sound)

        asyncio.run(visit())
    assert "does not answer" in capsys.readouterr().out
