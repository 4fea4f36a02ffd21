"""Addresses that a browser hides: Firefox, and others without a microphone, offer names of multicast DNS instead."""

from __future__ import annotations

import ipaddress
import re

_NAMED = re.compile(r"^(a=candidate:\S+ \d+ \S+ \d+ )\S+\.local( )", re.MULTILINE)


def with_address(sdp: str, address: str) -> str:
    """An offer in which the address where its page comes from stands for names that only a local network knows.

    Where such names are not answered, no candidate would be left and the connection fails at once, although the page
    finds this machine by itself. Where the page comes through a proxy the address is wrong, and does no harm.

    Args:
        sdp: the offer (candidates: RFC 8839, 5.1; names: draft-ietf-mmusic-mdns-ice-candidates).
        address: of the page's socket, IPv4 or IPv6.
    """
    known = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    return _NAMED.sub(rf"\g<1>{known}\g<2>", sdp)
