"""The avatar itself as one binary, ``.gsa``: what moves, what hears, whose it is (docs/gsa.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.export.gsa.file import avatar_file
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path


def write(
    path: Path,
    avatar: LoadedAvatar,
    motion: MotionTrack,
    *,
    tell: Callable[[str], None],
    quality: str,
    force: bool,
    features: str,
) -> int:
    """Write the file; returns the number of Gaussians.

    Args:
        path: the file.
        avatar: who.
        motion: not used: the file holds the avatar's own filmed track.
        tell: is told its size and how near it comes to the avatar's own pictures, before it is written.
        quality: small, normal or full.
        force: see :func:`gaussavatar.export.gsa.file.avatar_file`.
        features: see there.

    Raises:
        UserError: see there; or the file cannot be written.
    """
    made = avatar_file(avatar, quality, force, features)
    for line in made.said:
        tell(line)
    with atomic_path(path) as temporary:
        temporary.write_bytes(made.data)
    return made.count
