"""An avatar that says nothing: closed lips, blinks, a head that sways; and no jump between it and speech."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.avatar.controlled import BLINKS, Person, swaying
from gaussavatar.easing import smoothstep
from gaussavatar.errors import UserError
from gaussavatar.motion.blinks import generated_blinks, learn_blinks
from gaussavatar.motion.poses import deviated, deviations, mean_pose, neck_points
from gaussavatar.motion.sway import matching_places
from gaussavatar.motion.track import MotionTrack, frames_of_seconds

BLEND, BLEND_HEAD = 0.4, 1.2
"""Seconds over which lips and lids, and the head, go over from what was before and to what comes after."""
CALM = 0.6
"""Idle sway against that of the filmed track, whose person speaks."""


def idle_motion(
    person: Person,
    seconds: float,
    seed: int = 0,
    after: MotionTrack | None = None,
    before: MotionTrack | None = None,
) -> MotionTrack:
    """A motion of closed lips; see :meth:`gaussavatar.Avatar.idle`.

    Raises:
        UserError: no length, or motions of different frame rates.
    """
    if not 0 < seconds <= 1e5:
        raise UserError("a length in seconds above 0", f"{seconds}", "change it")
    rates = {track.fps for track in (after, before) if track is not None}
    if len(rates) > 1:
        raise UserError("motions of one frame rate", " and ".join(map(str, sorted(rates))), "give them by at_fps")
    filmed = person.filmed
    fps = rates.pop() if rates else filmed.fps
    n = frames_of_seconds(seconds, fps)
    blinking, moving = (np.random.default_rng([seed, part]) for part in (1, 2))
    mean = mean_pose(filmed.T_camera_world)
    sway = CALM * swaying(person, n, fps, moving)
    codes = np.repeat(person.closed[None], n, axis=0)
    upper = np.repeat(person.resting_upper[None], n, axis=0)
    first = None if after is None else after.taken(np.array([len(after) - 1]))
    last = None if before is None else before.frames(0, 1)
    sway = _between(sway, _turned(first, mean), _turned(last, mean), BLEND_HEAD * fps)
    codes = _between(codes, _row(first, "mouth_codes"), _row(last, "mouth_codes"), BLEND * fps)
    upper = _between(upper, _row(first, "upper"), _row(last, "upper"), BLEND * fps)
    lids = person.channels(BLINKS)
    if lids:
        habit = learn_blinks(filmed.upper[:, lids], filmed.fps)
        upper[:, lids] = np.maximum(upper[:, lids], generated_blinks(habit, n, fps, blinking))
    poses = deviated(mean, sway)
    start, end = (None if track is None else int(track.places[0]) for track in (first, last))
    places = matching_places(neck_points(filmed.T_camera_world), neck_points(poses), start, end)
    arrays = (codes.astype(np.float32), upper.astype(np.float32), poses, places)
    return MotionTrack(*arrays, fps=fps, upper_names=filmed.upper_names, avatar=filmed.avatar, about=filmed.about)


def _row(track: MotionTrack | None, name: str) -> Float32[np.ndarray, "c"] | None:
    return None if track is None else getattr(track, name)[0]


def _turned(track: MotionTrack | None, mean: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "6"] | None:
    return None if track is None else deviations(track.T_camera_world, mean)[0]


def _between(
    values: Float[np.ndarray, "n c"],
    first: Float[np.ndarray, "c"] | None,
    last: Float[np.ndarray, "c"] | None,
    frames: float,
) -> Float[np.ndarray, "n c"]:
    """Values that begin at one row and end at another, going over within some frames.

    What the first and last row differ by is added and fades out: the motion itself goes on meanwhile.
    """
    n = len(values)
    made = values.astype(float)
    span = max(1.0, min(frames, n / 2 if first is not None and last is not None else n))
    for row, moments in ((first, np.arange(n)), (last, np.arange(n)[::-1])):
        if row is not None:
            fade = smoothstep(np.clip(1 - (moments + 1) / (span + 1), 0, 1))
            made += fade[:, None] * (row - values[0 if row is first else -1])
    return made
