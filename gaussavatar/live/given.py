"""A frame as it goes to everybody who hears and sees a session: encoded once, in the thread that made it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import av
import numpy as np
from jaxtyping import UInt8

from gaussavatar.avatar.live.records import LiveFrame
from gaussavatar.live.sound import PACKET, OpusVoice

SAMPLES = 2 * PACKET
"""Samples of a frame."""


@dataclass(frozen=True)
class Given:
    """One frame of a session."""

    index: int
    packets: tuple[av.Packet, ...]
    """Its sound."""
    motion: bytes
    """Its face, packed, and those of frames to come; nothing where it was sent before."""
    image: UInt8[np.ndarray, "h w 3"] | None
    events: tuple[str, ...]
    """What happened with it, as JSON."""


def given(frame: LiveFrame, voice: OpusVoice, motion: bytes) -> Given:
    """Encode a frame, with its message of motion."""
    packets = voice.packets(frame.audio, frame.index * SAMPLES, frame.speaking)
    image = None if frame.image is None else frame.image[..., :3]
    return Given(frame.index, tuple(packets), motion, image, events_of(frame))


def events_of(frame: LiveFrame) -> tuple[str, ...]:
    """What happened with a frame, as the messages that clients get."""
    return tuple(
        json.dumps({
            "event": event.kind,
            "frame": frame.index,
            "position": round(event.position, 3),
            "interrupted": event.interrupted,
            "segment": event.segment,
        })
        for event in frame.events
    )  # fmt: skip
