"""The socket of pages and programs: what is answered, what is refused, and that nothing stays behind."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from gaussavatar.live import server as server_module
from gaussavatar.live.limits import LARGEST_MESSAGE, Allowance
from gaussavatar.live.messages import Hello, parse
from gaussavatar.live.server import LiveServer

from .conftest import address, speech, until


def told(socket: ClientConnection, key: str, value: object) -> dict[str, Any]:
    """The next message of a kind."""
    while True:
        message = json.loads(socket.recv(timeout=20))
        if message.get(key) == value:
            return message


def say(socket: ClientConnection, **message: object) -> None:
    socket.send(json.dumps(message))


def test_a_program_speaks_and_is_told_what_was_heard(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    with connect(address(server, "/feed?session=anna")) as feed:
        welcome = told(feed, "kind", "welcome")
        assert (
            welcome["session"] == "anna" and welcome["may_speak"] and 0 < welcome["look_ahead"] <= welcome["delay"] < 2
        )
        say(feed, kind="hello", rate=16000)
        feed.send(speech(0.5).tobytes())
        say(feed, kind="flush")
        start = told(feed, "event", "start")
        finished = told(feed, "event", "finished")
        assert not finished["interrupted"] and finished["position"] == pytest.approx(0.5, abs=0.04)
        assert finished["segment"] == start["segment"] and finished["frame"] - start["frame"] in (12, 13)


def test_an_interruption_is_told_with_its_place(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    with connect(address(server, "/feed?session=anna")) as feed, connect(address(server, "/live?session=anna")) as page:
        say(feed, kind="hello", rate=24000, channels=2)
        feed.send(speech(5, 24000).repeat(2).tobytes())
        start = told(page, "event", "start")
        say(page, kind="clear")
        finished = told(feed, "event", "finished")
        assert finished["interrupted"] and 0 <= finished["position"] < 3
        assert finished["position"] == pytest.approx((finished["frame"] - start["frame"]) / 25, abs=0.081)
        assert told(page, "event", "finished") == finished


def test_one_voice_at_a_time(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    with connect(address(server, "/feed?session=a")) as one, connect(address(server, "/feed?session=a")) as other:
        for feed in (one, other):
            told(feed, "kind", "welcome")
            say(feed, kind="hello", rate=16000)
        one.send(speech(0.2).tobytes())
        until(lambda: server.sessions["a"].speaking)
        other.send(speech(0.2).tobytes())
        assert "another source is speaking" in told(other, "kind", "problem")["text"]
        one.close()
        until(lambda: len(server.sessions["a"].clients) == 1)
        other.send(speech(0.2).tobytes())
        say(other, kind="flush")
        assert not told(other, "event", "finished")["interrupted"]


GARBAGE = [
    "",
    "no json",
    "[]",
    "{}",
    '{"kind": "hello"}',
    '{"kind": "hello", "rate": 1e9}',
    '{"kind": "hello", "rate": NaN}',
    '{"kind": "text", "text": 7}',
    '{"kind": "microphone", "mode": "loud"}',
    '{"kind": "offer", "sdp": "v=0"}',
    '{"kind": "offer", "sdp": ""}',
    '{"kind": "evil"}',
    "[" * 5000,
    b"\x01\x02",
]


def test_garbage_is_said_to_be_it_and_harms_nothing(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    with connect(address(server, "/live")) as page:
        for garbage in GARBAGE[:9]:
            page.send(garbage)
            assert told(page, "kind", "problem")["text"]
    with connect(address(server, "/live")) as page:
        for garbage in GARBAGE[9:]:
            page.send(garbage)
            assert told(page, "kind", "problem")["text"]
        say(page, kind="hello", rate=16000)
        page.send(b"\x01\x02\x03")
        assert "3 bytes" in told(page, "kind", "problem")["text"]
        page.send(speech(0.2).tobytes())
        say(page, kind="flush")
        assert not told(page, "event", "finished")["interrupted"]


def test_chance_says_nothing_that_breaks_the_server(serve: Callable[..., LiveServer]) -> None:
    server, chance = serve(), random.Random(0)
    kinds = ("hello", "flush", "clear", "text", "offer", "microphone", "ping", "x")
    values = (0, -1, 1.5, 16000, None, True, "", "mirror", "a" * 3000, [], {"a": 1}, "v=0\r\nm=audio 9 X 0\r\n")
    for _ in range(3):
        with connect(address(server, "/live")) as page:
            for _ in range(150):
                if chance.random() < 0.4:
                    page.send(chance.randbytes(chance.randrange(200)))
                    continue
                names = chance.sample(("rate", "channels", "text", "sdp", "mode", "at"), chance.randrange(4))
                say(page, kind=chance.choice(kinds), **{name: chance.choice(values) for name in names})
            say(page, kind="ping", at=-7.5)
            while told(page, "kind", "pong")["at"] != -7.5:
                pass
    for path in ("/../../etc/passwd", "/web/../gaussavatar/__init__.py", "/%00", "/live", "/avatar.gsa/x", "/web/"):
        request = urllib.request.Request(f"http://127.0.0.1:{server.config.port}{path}")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request, timeout=10)
    until(lambda: not any(session.clients for session in server.sessions.values()))


def test_who_floods_is_shown_out_and_the_next_is_let_in(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    with connect(address(server, "/live?session=calm")) as calm:
        with connect(address(server, "/live"), close_timeout=1) as wild, pytest.raises(ConnectionClosed, match="1008"):
            for _ in range(20_000):
                wild.send('{"kind": "flush"}')
        with connect(address(server, "/live")) as wild, pytest.raises(ConnectionClosed, match="1009"):
            wild.send(bytes(LARGEST_MESSAGE + 2))
            while True:
                wild.recv(timeout=20)
        say(calm, kind="ping", at=2)
        assert told(calm, "kind", "pong")["at"] == 2


def test_a_full_server_says_so(serve: Callable[..., LiveServer]) -> None:
    server = serve(most=2)
    with connect(address(server, "/live")), connect(address(server, "/live")):
        with connect(address(server, "/live")) as third:
            assert "2 visitors" in told(third, "kind", "full")["text"]
            with pytest.raises(ConnectionClosed, match="1013"):
                third.recv(timeout=20)
        with connect(address(server, "/feed?session=x")) as feed:
            assert told(feed, "kind", "welcome")["session"] == "x"
    until(lambda: server.visitors == 0)
    with connect(address(server, "/live")) as again:
        told(again, "kind", "welcome")


def test_in_a_shared_session_pages_listen_only(serve: Callable[..., LiveServer]) -> None:
    server = serve(shared=True)
    with connect(address(server, "/live?session=own")) as page, connect(address(server, "/feed")) as feed:
        assert told(page, "kind", "welcome")["session"] == told(feed, "kind", "welcome")["session"] == "everybody"
        for message in ({"kind": "text", "text": "hello"}, {"kind": "microphone", "mode": "mirror"}, {"kind": "clear"}):
            say(page, **message)
            assert "only listen" in told(page, "kind", "problem")["text"]
        say(feed, kind="hello", rate=16000)
        feed.send(speech(0.2).tobytes())
        say(feed, kind="flush")
        assert told(page, "event", "finished") == told(feed, "event", "finished")


def test_who_is_not_let_in(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    for path in ("/elsewhere", "/live?session=a/b", f"/live?session={'a' * 65}"):
        with connect(address(server, path)) as page:
            told(page, "kind", "problem")
            with pytest.raises(ConnectionClosed, match="1008"):
                page.recv(timeout=20)
    with pytest.raises(InvalidStatus, match="403"):
        connect(address(server, "/live"), origin="http://elsewhere.example")  # type: ignore[arg-type]
    assert server.sessions == {}


def test_a_token_is_wanted_beyond_this_machine(serve: Callable[..., LiveServer]) -> None:
    server = serve(host="0.0.0.0")
    assert len(server.config.token) > 20
    for path in ("/live", "/feed?session=a", "/live?token=wrong"):
        with pytest.raises(InvalidStatus, match="403"):
            connect(address(server, path))
    with connect(address(server, f"/feed?session=a&token={server.config.token}")) as feed:
        told(feed, "kind", "welcome")


def test_sessions_end_when_nobody_is_there(serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LINGER", 0.3)
    server = serve()
    sockets = [connect(address(server, "/live")) for _ in range(8)]
    for socket in sockets:
        told(socket, "kind", "welcome")
    assert len(server.sessions) == 8
    for number, socket in enumerate(sockets):
        say(socket, kind="hello", rate=16000)
        socket.send(speech(2).tobytes())
        # Half of them vanish without a word.
        socket.socket.close() if number % 2 else socket.close()
    until(lambda: not server.sessions and not len(server.pacer) and server.visitors == 0)


def test_a_page_that_comes_back_finds_its_session(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    with connect(address(server, "/live")) as page:
        name = told(page, "kind", "welcome")["session"]
    session = server.sessions[name]
    with connect(address(server, f"/live?session={name}")) as page:
        told(page, "kind", "welcome")
        assert server.sessions[name] is session


def test_messages_and_allowance() -> None:
    assert parse('{"kind": "hello", "rate": 16000, "more": 1}') == Hello(16000)
    allowance = Allowance(per_second=2, at_once=3)
    assert [allowance.take(at) for at in (5.0, 5.0, 5.0, 5.0, 5.5, 5.5, 9.0, 9.0, 9.0, 9.0)] == [
        True, True, True, False, True, False, True, True, True, False,
    ]  # fmt: skip
