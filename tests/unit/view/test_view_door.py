"""One port and one token for the viewer's page, its files, its socket, and viser behind it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import viser
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gaussavatar.serving.door import DoorConfig, Served, new_token
from gaussavatar.view.door import ViewDoor as Door
from tests.unit.serving.asking import free, get


@pytest.fixture(scope="module")
def panels() -> Iterator[int]:
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer("127.0.0.1", 9180, verbose=False)
        server.gui.add_button("a button of the panels")
        yield server.get_port()
        server.stop()


class Heard:
    """Notes what pages say."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, Any]] = []
        self.came = threading.Event()

    def __call__(self, page: int, message: Any) -> None:
        self.messages.append((page, message))
        self.came.set()


@pytest.fixture
def opened(panels: int, request: pytest.FixtureRequest) -> Iterator[tuple[Door, Heard]]:
    heard = Heard()
    page = Served("text/html", lambda: b"<p>the page")
    config = DoorConfig("127.0.0.1", free(), getattr(request, "param", ""))
    door = Door(config, {"/": page}.get, heard, {1: panels}.get)
    door.open()
    yield door, heard
    door.close()


def test_files_and_panels_stand_behind_one_port(opened: tuple[Door, Heard]) -> None:
    door, _ = opened
    status, body, headers = get(door, "/")
    assert (status, body) == (200, b"<p>the page") and headers["X-Content-Type-Options"] == "nosniff"
    assert get(door, "/nothing")[0] == 404 and get(door, "/viser/1/nothing")[0] == 404
    status, body, _ = get(door, "/viser/1/")
    assert status == 200 and b"<html" in body.lower() and get(door, "/viser/2/")[0] == 404


def test_a_page_of_another_site_is_not_answered(opened: tuple[Door, Heard]) -> None:
    door, _ = opened
    assert get(door, "/", Host="elsewhere.example")[0] == 403

    async def from_elsewhere() -> None:
        async with connect(f"ws://127.0.0.1:{door.config.port}/", origin="http://elsewhere.example"):
            pass

    with pytest.raises(InvalidStatus, match="403"):
        asyncio.run(from_elsewhere())


def test_pages_talk_and_leave(opened: tuple[Door, Heard]) -> None:
    door, heard = opened

    async def talk() -> list[Any]:
        async with connect(f"ws://127.0.0.1:{door.config.port}/") as one:
            await one.send(json.dumps({"kind": "hello"}))
            await one.send(b"\x01\x02")
            await one.send("no json")
            await asyncio.to_thread(heard.came.wait, 5)
            door.tell({"kind": "answer"})
            door.tell({"kind": "only for another"}, page=99)
            door.tell({"kind": "last"}, page=1)
            return [json.loads(await asyncio.wait_for(one.recv(), 5)) for _ in range(2)]

    assert asyncio.run(talk()) == [{"kind": "answer"}, {"kind": "last"}]
    for _ in range(100):
        if len(heard.messages) == 4:
            break
        heard.came.wait(0.05)
        heard.came.clear()
    assert heard.messages == [(1, {"kind": "opened"}), (1, {"kind": "hello"}), (1, b"\x01\x02"), (1, None)]
    assert door.pages == 0


def test_the_panels_socket_is_passed_on(opened: tuple[Door, Heard]) -> None:
    door, _ = opened
    protocol = f"viser-v{viser.__version__}"

    async def first_message() -> bytes | str:
        address = f"ws://127.0.0.1:{door.config.port}/viser/1/"
        async with connect(address, subprotocols=[protocol], max_size=None) as page:  # type: ignore[list-item]
            return await asyncio.wait_for(page.recv(), 10)

    assert len(asyncio.run(first_message())) > 0


@pytest.mark.parametrize("opened", ["secret"], indirect=True)
def test_a_token_guards_everything(opened: tuple[Door, Heard]) -> None:
    door, _ = opened
    for path in ("/", "/viser/1/", "/?token=wrong"):
        assert get(door, path)[0] == 403
    status, _, headers = get(door, "/?token=secret", Host="192.168.1.7:80")
    assert status == 200
    cookie = headers["Set-Cookie"].split(";")[0]
    assert get(door, "/", Cookie=cookie)[0] == get(door, "/viser/1/", Cookie=f"a=b; {cookie}")[0] == 200

    async def unknown() -> None:
        async with connect(f"ws://127.0.0.1:{door.config.port}/"):
            pass

    with pytest.raises(InvalidStatus, match="403"):
        asyncio.run(unknown())
    assert new_token() != new_token() and len(new_token()) > 20
