"""Offers of browsers that hide their addresses."""

from __future__ import annotations

import pytest

from gaussavatar.live.hidden import with_address

KNOWN = "a=candidate:1 1 UDP 2122252543 192.0.2.7 37164 typ host\r\n"
HIDDEN = "a=candidate:0 1 UDP 2122187007 4bee893f-74d7-4cff-861a-661675adb6ef.local 43742 typ host\r\n"


@pytest.mark.parametrize(
    ("address", "known"),
    [("192.0.2.9", "192.0.2.9"), ("::ffff:192.0.2.9", "192.0.2.9"), ("fe80::1%eth0", "fe80::1"), ("::1", "::1")],
)
def test_the_address_of_the_page_stands_for_its_name(address: str, known: str) -> None:
    offer = f"v=0\r\n{KNOWN}{HIDDEN}a=mid:0\r\n"
    line = f"a=candidate:0 1 UDP 2122187007 {known} 43742 typ host\r\n"
    assert with_address(offer, address) == f"v=0\r\n{KNOWN}{line}a=mid:0\r\n"
