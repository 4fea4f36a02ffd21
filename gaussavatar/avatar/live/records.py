"""What a live session gives out, frame by frame, and what it says about itself."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int16, UInt8

FPS = 25
FRAME = 1.0 / FPS
"""Seconds of a frame."""

SPEAKING, AHEAD = 1, 2
"""Bits of the flags of a packed motion: something is said; it is sent before it is due and holds if nothing is said."""

_HEAD = struct.Struct("<IBBBBHH")
_QUATERNION = struct.Struct("<4e")
Kind = Literal["start", "end", "finished", "late"]


@dataclass(frozen=True)
class LiveMotion:
    """The state of a face in one frame; units as in :class:`gaussavatar.motion.track.MotionTrack`."""

    codes: Float32[np.ndarray, "m"]
    upper: Float32[np.ndarray, "u"]
    T_camera_world: Float32[np.ndarray, "3 4"]
    place: int
    """Frame of the filmed track whose torso it is."""

    def same(self, other: LiveMotion) -> bool:
        """Whether it is the motion that :meth:`Live.ahead` foresaw."""
        return self.upper is other.upper and bool(np.array_equal(self.codes, other.codes))

    def packed(self, index: int = 0, speaking: bool = False, ahead: bool = False) -> bytes:
        """The message that travels to a page that draws: little endian, some 110 bytes.

        u32 frame index, u8 flags (1: speaking, 2: sent ahead), u8 m, u8 u, u8 0, u16 place, u16 0, f16 codes[m],
        f16 upper[u], f32 translation[3] in metres, f16 rotation quaternion[4] in the order w, x, y, z.
        """
        flags = SPEAKING * speaking + AHEAD * ahead
        head = _HEAD.pack(index & 0xFFFFFFFF, flags, len(self.codes), len(self.upper), 0, self.place & 0xFFFF, 0)
        return b"".join([
            head,
            self.codes.astype("<f2").tobytes(),
            self.upper.astype("<f2").tobytes(),
            self.T_camera_world[:, 3].astype("<f4").tobytes(),
            _QUATERNION.pack(*quaternion(self.T_camera_world[:, :3].tolist())),
        ])  # fmt: skip


def quaternion(R: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """A rotation matrix as a unit quaternion w, x, y, z with w >= 0.

    Of the four ways to it the one that divides by most (Shepperd 1978, Journal of Guidance and Control 1, 223). One
    frame at a time, in plain numbers: it is done for every frame of every session.
    """
    (a, b, c), (d, e, f), (g, h, i) = R
    if a + e + i > max(a, e, i):
        q = (1.0 + a + e + i, h - f, c - g, d - b)
    elif a >= e and a >= i:
        q = (h - f, 1.0 + a - e - i, b + d, c + g)
    elif e >= i:
        q = (c - g, b + d, 1.0 - a + e - i, f + h)
    else:
        q = (d - b, c + g, f + h, 1.0 - a - e + i)
    length = math.copysign(math.hypot(*q), q[0])
    return q[0] / length, q[1] / length, q[2] / length, q[3] / length


@dataclass(frozen=True)
class LiveEvent:
    """Something that happened with a frame.

    ``start``: the first frame of a segment's sound. ``end``: its last one, or the first one after an interruption.
    ``finished``: a segment is over, all of its sound was given out, or what was left of it dropped (``interrupted``).
    ``late``: sound ran out in the middle of a segment, or frames were asked for too late and pictures left out.
    """

    kind: Kind
    position: float
    """Seconds of the segment's sound that were given out by the end of the frame (``start``: before it)."""
    interrupted: bool
    segment: int


@dataclass(frozen=True)
class LiveFrame:
    """A frame of 1/25 s: what is heard and what is seen belong together."""

    index: int
    time: float
    """When it is to be seen and heard, in seconds of the session's clock."""
    audio: Int16[np.ndarray, "s"]
    """Its stretch of sound, ``rate / 25`` samples; silence where nothing is said."""
    motion: LiveMotion
    image: UInt8[np.ndarray, "h w c"] | None
    """None where motion was asked for, or where the picture came too late and the one before it stays."""
    speaking: bool
    events: tuple[LiveEvent, ...]

    def packed(self) -> bytes:
        """See :meth:`LiveMotion.packed`."""
        return self.motion.packed(self.index, self.speaking)


@dataclass(frozen=True)
class LiveStats:
    """What a session has done so far."""

    frames: int
    """Given out."""
    dropped_pictures: int
    """Left out because they came too late; their sound was given out."""
    late_ms_p95: float
    """How much later than due the last thousand frames were asked for."""
    queued_seconds: float
    """Sound that was taken and not yet given out."""
    spoken_seconds: float
    """Sound that was given out."""
    dropped_seconds: float
    """Sound that interruptions dropped."""
    underruns: int
    """Times that sound ran out in the middle of a segment."""
    segments: int
    """Begun so far."""
    stalled_seconds: float
    """By how much the session's clock was put back because nobody asked for frames."""
