"""What a live session gives out, frame by frame, and what it says about itself."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int16, UInt8
from scipy.spatial.transform import Rotation

FPS = 25
FRAME = 1.0 / FPS
"""Seconds of a frame."""

SPEAKING = 1
"""Bit of the flags of a packed motion."""

_HEAD = struct.Struct("<IBBBBHH")
Kind = Literal["start", "end", "finished", "late"]


@dataclass(frozen=True)
class LiveMotion:
    """The state of a face in one frame; units as in :class:`gaussavatar.motion.track.MotionTrack`."""

    codes: Float32[np.ndarray, "m"]
    upper: Float32[np.ndarray, "u"]
    T_camera_world: Float32[np.ndarray, "3 4"]
    place: int
    """Frame of the filmed track whose torso it is."""

    def packed(self, index: int = 0, speaking: bool = False) -> bytes:
        """The message that travels to a page that draws: little endian, some 110 bytes.

        u32 frame index, u8 flags (1: speaking), u8 m, u8 u, u8 0, u16 place, u16 0, f16 codes[m], f16 upper[u],
        f32 translation[3] in metres, f16 rotation quaternion[4] in the order w, x, y, z.
        """
        x, y, z, w = Rotation.from_matrix(self.T_camera_world[:, :3].astype(float)).as_quat(canonical=True)
        head = _HEAD.pack(
            index & 0xFFFFFFFF, SPEAKING * speaking, len(self.codes), len(self.upper), 0, self.place & 0xFFFF, 0
        )
        return b"".join([
            head,
            self.codes.astype("<f2").tobytes(),
            self.upper.astype("<f2").tobytes(),
            self.T_camera_world[:, 3].astype("<f4").tobytes(),
            np.array([w, x, y, z], "<f2").tobytes(),
        ])  # fmt: skip


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
