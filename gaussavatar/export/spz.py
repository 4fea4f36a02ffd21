"""One state as ``.spz``, version 3: Niantic's packed format, about 19 bytes per Gaussian before gzip.

Layout (github.com/nianticlabs/spz): a header of 16 bytes, then all positions as 24-bit fixed point, opacities, colours,
log scales and quaternions as their smallest three components of ten bits. Axes are y up and z to the viewer. Positions
have 13 bits behind the point (0.12 mm) because a head is small; the format's usual 12 would do as well.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from gaussavatar.avatar.mark import Mark
from gaussavatar.errors import UserError
from gaussavatar.export.cloud import Cloud, first_cloud, smallest_three, to_byte
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated

MAGIC, VERSION = 0x5053474E, 3
FRACTION_BITS = 13
_COLOR_SCALE, _LOG_LOW, _LOG_STEPS = 0.15, -10.0, 16.0


def write(
    path: Path, states: Iterator[Activated], motion: MotionTrack, *, mark: Mark | None = None, faintest: float = 0.0
) -> int:
    """Write the first state; returns the number of Gaussians.

    Raises:
        UserError: see :func:`gaussavatar.export.ply.write`; or a Gaussian is a kilometre away.
    """
    cloud = first_cloud(states, faintest)
    with atomic_path(path) as temporary:
        temporary.write_bytes(spz_bytes(cloud, mark))
    return len(cloud)


def spz_bytes(cloud: Cloud, mark: Mark | None = None) -> bytes:
    """The whole file.

    Raises:
        UserError: a position does not fit into 24 bits.
    """
    packed = cloud.by_place().upright()
    fixed = np.round(packed.means.astype(np.float64) * 2**FRACTION_BITS)
    if np.abs(fixed).max() >= 2**23:
        raise UserError("Gaussians within a kilometre for spz", "one farther away", "write ply, or fit again")
    body = (
        struct.pack("<IIIBBBB", MAGIC, VERSION, len(packed), 0, FRACTION_BITS, 0, 0),
        fixed.astype("<i4").view(np.uint8).reshape(-1, 3, 4)[..., :3].tobytes(),
        to_byte(packed.opacities * 255).tobytes(),
        to_byte((packed.harmonics * _COLOR_SCALE + 0.5) * 255).tobytes(),
        to_byte((packed.log_scales - _LOG_LOW) * _LOG_STEPS).tobytes(),
        packed_quaternions(packed.quats).tobytes(),
    )
    return with_comment(gzip.compress(b"".join(body), 9, mtime=0), mark.about if mark else "")


def with_comment(data: bytes, text: str) -> bytes:
    """A gzip file with a comment in its header (RFC 1952, section 2.3.1), which the format itself has no place for."""
    if not text:
        return data
    # The comment ends with its first zero.
    has_comment, said = 16, text.encode("latin-1", "replace").replace(b"\0", b"?") + b"\0"
    return data[:3] + bytes([data[3] | has_comment]) + data[4:10] + said + data[10:]


def packed_quaternions(quats: Float32[np.ndarray, "n 4"]) -> np.ndarray:
    """Unit wxyz quaternions as little-endian words (n,): which of x, y, z, w is largest, then the others.

    Each of the others has a sign and nine bits, the first one in the highest place.
    """
    largest, others = smallest_three(quats[:, [1, 2, 3, 0]])
    parts = (np.round(np.abs(others) * 511).astype(np.uint32)) | ((others < 0).astype(np.uint32) << 9)
    words = largest.astype(np.uint32)
    for column in parts.T:
        words = (words << 10) | column
    return words.astype("<u4")
