"""Motions as the viewer's page takes them: one block of bytes per motion, and what a panel asks of it."""

from __future__ import annotations

import struct

import numpy as np

from gaussavatar.motion.track import MotionTrack

MAGIC = b"GSAM"
VERSION = 1


def motion_bytes(track: MotionTrack) -> bytes:
    """A motion for ``assets/web/viewer/motion_block.js``, little endian.

    Magic, then version, frames, mouth codes and upper-face channels per frame as u32, frames per second as f32; then
    all mouth codes, upper channels and poses (the first three rows of T_camera_world) as f32, and places as i32.
    """
    frames, codes = track.mouth_codes.shape
    head = struct.pack("<4sIIIIf", MAGIC, VERSION, frames, codes, track.upper.shape[1], track.fps)
    arrays = (track.mouth_codes, track.upper, track.T_camera_world[:, :3])
    blocks = [np.ascontiguousarray(one, "<f4").tobytes() for one in arrays]
    return b"".join((head, *blocks, track.places.astype("<i4").tobytes()))
