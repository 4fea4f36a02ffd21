"""A motion as a folder of ``.ply`` files, one a frame: ``frame_000000.ply`` and so on, as sequence players expect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gaussavatar.avatar.mark import Mark
from gaussavatar.errors import UserError
from gaussavatar.export.cloud import cloud_of
from gaussavatar.export.ply import ply_bytes
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path, remove_leftovers
from gaussavatar.types import Activated


def write(path: Path, states: Iterator[Activated], motion: MotionTrack, *, mark: Mark | None = None) -> int:
    """Write every state; returns the number of Gaussians of one.

    Every file has all Gaussians in the same order, so that a program can follow them.

    Raises:
        UserError: the folder holds other files, or one of them cannot be written.
    """
    remove_leftovers(path)
    frames = re.compile(r"frame_\d{6}\.ply")
    before = sorted(path.iterdir()) if path.is_dir() else []
    if path.is_file() or not all(frames.fullmatch(each.name) for each in before):
        raise UserError("a new folder for --out", f"{path}, which holds other files", "name another one")
    count = 0
    for number, gaussians in enumerate(states):
        cloud = cloud_of(gaussians)
        with atomic_path(path / f"frame_{number:06d}.ply") as temporary:
            temporary.write_bytes(ply_bytes(cloud, mark))
        count = len(cloud)
    for stale in before:
        if int(stale.stem.removeprefix("frame_")) >= len(motion):
            stale.unlink()
    return count
