"""Motions of an avatar from ARKit's curves and from files, and the curves of a motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gaussavatar.avatar.arkit import ArkitMap, curves_of_track, rough_map, track_of_curves
from gaussavatar.avatar.controlled import on_torso
from gaussavatar.avatar.driving import check_motion, in_order, over_filmed
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.motion.arkit import ArkitCurves
from gaussavatar.motion.files import read_motion
from gaussavatar.motion.track import MotionTrack, frames_of_seconds


def map_of(avatar: LoadedAvatar) -> ArkitMap:
    """The person's own map, or one that only opens and closes lips for an avatar from before there was one."""
    if avatar.arkit is not None:
        return avatar.arkit
    closed, direction = avatar.closed.cpu().numpy(), avatar.mouth_open_direction
    return rough_map(closed, avatar.resting_upper, direction, avatar.filmed.mouth_codes, avatar.upper_names)


def motion_of_curves(avatar: LoadedAvatar, curves: ArkitCurves) -> MotionTrack:
    """The avatar's motion that follows ARKit's curves, at their frame rate.

    Where the curves bring no head, it moves as in the filmed track.
    """
    fitted, count = map_of(avatar), frames_of_seconds(curves.seconds)
    over = over_filmed(avatar, np.repeat(fitted.rest_codes[None], count, axis=0)).at_fps(curves.fps)
    over = over.taken(np.minimum(np.arange(len(curves)), len(over) - 1))
    track = track_of_curves(fitted, curves, over)
    return track if curves.head is None else on_torso(avatar.filmed, track, track.T_camera_world)


def curves_of_motion(avatar: LoadedAvatar, track: MotionTrack) -> ArkitCurves:
    """The ARKit curves of a motion of the avatar, with the head's turns about its mean.

    Raises:
        UserError: it is no motion of this avatar.
    """
    check_motion(avatar, track)
    return curves_of_track(map_of(avatar), track)


def motion_of_file(avatar: LoadedAvatar, path: Path | str, say: Callable[[str], None] | None = None) -> MotionTrack:
    """A motion track, or the motion that follows a file's ARKit curves.

    Args:
        avatar: whose motion it is.
        path: the file.
        say: told of shapes that a file of curves lacks, and of an avatar that follows curves only roughly.

    Raises:
        UserError: see :func:`gaussavatar.motion.files.read_motion`; or it is no motion of this avatar.
    """
    read = read_motion(path)
    if isinstance(read, ArkitCurves):
        if say is not None:
            for line in _said_of(avatar, read):
                say(line)
        track = motion_of_curves(avatar, read)
    else:
        track = in_order(avatar, read)
    check_motion(avatar, track)
    return track


def _said_of(avatar: LoadedAvatar, curves: ArkitCurves) -> Iterator[str]:
    if curves.missing:
        yield f"{len(curves.missing)} of 52 curves are missing and stay at rest: {', '.join(curves.missing)}"
    if avatar.arkit is None:
        yield "this avatar has no map from ARKit's curves: lips only open and close; fit the avatar again for the rest"
