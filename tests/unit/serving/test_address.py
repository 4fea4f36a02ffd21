"""Which port a page gets, and how its address is written."""

from __future__ import annotations

import socket

import pytest

from gaussavatar.errors import UserError
from gaussavatar.serving.address import free_port, is_loopback, page_address, say_who_sees


def test_next_port_when_one_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port("127.0.0.1", port) < port + 20


def test_an_impossible_address() -> None:
    for port in (70_000, 0, -1):
        with pytest.raises(UserError, match="a port from 1 to 65535"):
            free_port("127.0.0.1", port)
    with pytest.raises(UserError, match="a free port of 192.0.2.1"):
        free_port("192.0.2.1", 8080)
    assert 8080 <= free_port("::1", 8080) < 8100, "an IPv6 address is one"
    assert is_loopback("::1") and not is_loopback("0.0.0.0")


@pytest.mark.parametrize(
    ("host", "name"),
    [("127.0.0.1", "localhost"), ("0.0.0.0", "localhost"), ("::1", "[::1]"), ("::", "[::1]"), ("fd00::2", "[fd00::2]")],
)
def test_a_page_is_named_by_an_address_at_which_it_answers(host: str, name: str) -> None:
    assert page_address(host, 80) == f"http://{name}:80" and page_address(host, 80, "a") == f"http://{name}:80/?token=a"


def test_a_page_for_the_whole_network_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    say_who_sees("127.0.0.1")
    assert capsys.readouterr().out == ""
    say_who_sees("::")
    assert "whoever knows this address" in capsys.readouterr().out
