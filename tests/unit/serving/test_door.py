"""A door: one port and one token for files and sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gaussavatar.errors import UserError
from gaussavatar.serving.door import Door, DoorConfig, Served, new_token
from tests.unit.serving.asking import free, get


class Echo(Door):
    """Says again what it hears."""

    async def socket(self, connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Iterator[Door]:
    config = DoorConfig("127.0.0.1", free(), getattr(request, "param", ""), largest=100)
    door = Echo(config, {"/": Served("text/html", lambda: b"<p>the page")}.get)
    door.open()
    yield door
    door.close()


def said_again(door: Door, message: str, query: str = "", **options: str) -> str | bytes:
    async def talk() -> str | bytes:
        async with connect(f"ws://127.0.0.1:{door.config.port}/{query}", **options) as one:  # type: ignore[arg-type]
            await one.send(message)
            return await asyncio.wait_for(one.recv(), 5)

    return asyncio.run(talk())


def test_files_and_sockets_stand_behind_one_port(opened: Door) -> None:
    status, body, headers = get(opened, "/")
    assert (status, body) == (200, b"<p>the page") and headers["X-Content-Type-Options"] == "nosniff"
    assert get(opened, "/nothing")[0] == 404 and said_again(opened, "hello") == "hello"
    with pytest.raises(ConnectionClosed, match="1009"):
        said_again(opened, "a" * 101)


def test_a_page_of_another_site_is_not_answered(opened: Door) -> None:
    assert get(opened, "/", Host="elsewhere.example")[0] == 403
    with pytest.raises(InvalidStatus, match="403"):
        said_again(opened, "hello", origin="http://elsewhere.example")


@pytest.mark.parametrize("opened", ["secret"], indirect=True)
def test_a_token_guards_files_and_sockets(opened: Door) -> None:
    for path in ("/", "/?token=wrong"):
        assert get(opened, path)[0] == 403
    status, _, headers = get(opened, "/?token=secret", Host="192.168.1.7:80")
    assert status == 200 and get(opened, "/", Cookie=headers["Set-Cookie"].split(";")[0])[0] == 200
    assert said_again(opened, "hello", "?token=secret") == "hello"
    with pytest.raises(InvalidStatus, match="403"):
        said_again(opened, "hello")
    assert new_token() != new_token() and len(new_token()) > 20


def test_a_connection_that_says_nothing_is_no_traceback(
    opened: Door, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for said in (b"", b"GET / HT", b"\x16\x03\x01 no http\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", opened.config.port)) as browser:
            browser.sendall(said)
    assert get(opened, "/")[0] == 200
    time.sleep(0.3)
    assert caplog.records == [] and capfd.readouterr().err == ""


def test_a_port_in_use_is_said(opened: Door) -> None:
    with pytest.raises(UserError, match="port .* to be free"):
        Echo(opened.config, lambda _: None).open()


def test_what_keeps_a_door_from_opening_is_raised_by_who_opens_it(opened: Door) -> None:
    class Shut(Echo):
        async def opened(self) -> None:
            raise UserError("free disk space", "a full disk", "free some space")

    with pytest.raises(UserError, match="a full disk"):
        Shut(DoorConfig("127.0.0.1", free()), opened.files).open()
