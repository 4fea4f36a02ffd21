"""Addresses of pages: which are of this machine alone, which port is free, how a page is named."""

from __future__ import annotations

import ipaddress
import socket

from gaussavatar.errors import UserError

PORTS_TRIED = 20


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def page_address(host: str, port: int, token: str = "") -> str:
    """The page's address as a browser of this machine takes it."""
    # "localhost" is 127.0.0.1 alone on many machines, where nothing answers what listens on IPv6.
    name = {"127.0.0.1": "localhost", "0.0.0.0": "localhost", "::": "::1"}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}" + (f"/?token={token}" if token else "")


def say_who_sees(host: str) -> None:
    """Print a warning where others than this machine reach a page."""
    if not is_loopback(host):
        print(f"whoever knows this address sees the avatar: it is served on {host}", flush=True)


def free_port(host: str, port: int) -> int:
    """``port``, or the next one that nothing listens on.

    Raises:
        UserError: no such port or address, or none of the next ports is free.
    """
    if not 1 <= port <= 65535:
        raise UserError("a port from 1 to 65535", f"{port}", "name another one with --port")
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            family, kind, proto, _, place = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, proto) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
                return candidate
        except socket.gaierror as error:
            raise UserError("an address of this machine", repr(host), "give another --host") from error
        except OSError:
            continue
    last = min(port + PORTS_TRIED - 1, 65535)
    raise UserError(
        f"a free port of {host}", f"{port} to {last} in use or not to be had", "name another one with --port"
    )
