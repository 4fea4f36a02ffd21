"""What clients say over their socket: one JSON object per text message, with its ``kind`` (docs/live.md)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gaussavatar.errors import UserError
from gaussavatar.live.limits import LARGEST_OFFER, LARGEST_TEXT


class Hello(msgspec.Struct, tag_field="kind", tag="hello", frozen=True):
    """Sound follows, at this rate."""

    rate: Annotated[int, msgspec.Meta(ge=8000, le=96000)]
    channels: Annotated[int, msgspec.Meta(ge=1, le=2)] = 1


class Flush(msgspec.Struct, tag_field="kind", tag="flush", frozen=True):
    """What was sent is all of this segment."""


class Clear(msgspec.Struct, tag_field="kind", tag="clear", frozen=True):
    """Be silent: what was not yet spoken is dropped."""


class Say(msgspec.Struct, tag_field="kind", tag="text", frozen=True):
    """Say a text."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=LARGEST_TEXT)]


class Offer(msgspec.Struct, tag_field="kind", tag="offer", frozen=True):
    """A page wants to hear and see."""

    sdp: Annotated[str, msgspec.Meta(max_length=LARGEST_OFFER)]


class Microphone(msgspec.Struct, tag_field="kind", tag="microphone", frozen=True):
    """What the voice that comes over WebRTC is for: spoken by the avatar, listened to by it, or nothing."""

    mode: Literal["mirror", "listen", "off"]


class Ping(msgspec.Struct, tag_field="kind", tag="ping", frozen=True):
    """Asks for an answer, by which a page knows how far away the server is."""

    at: float


Said = Hello | Flush | Clear | Say | Offer | Microphone | Ping

_DECODER = msgspec.json.Decoder(Said)


def parse(text: str) -> Said:
    """What a text message says.

    Raises:
        UserError: it is none of these.
    """
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UserError(
            "a JSON message with a kind: hello, flush, clear, text, offer, microphone or ping",
            f"{text[:60]!r} ({error})"[:200],
            "see docs/live.md",
        ) from error
