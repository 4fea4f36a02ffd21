"""A motion as 52 ARKit curves in a table, in the order and with the header of Live Link Face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gaussavatar.avatar.curves import curves_of_motion
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.motion.arkit import write_curves
from gaussavatar.motion.track import MotionTrack


def write(path: Path, avatar: LoadedAvatar, motion: MotionTrack, *, tell: Callable[[str], None]) -> int:
    """Write the curves of a motion; returns the number of frames.

    Raises:
        UserError: it is no motion of the avatar, or the file cannot be written.
    """
    if avatar.arkit is None:
        tell("this avatar has no map to ARKit's curves: only the opening of lips and lids is told; fit it again")
    write_curves(path, curves_of_motion(avatar, motion))
    return len(motion)
