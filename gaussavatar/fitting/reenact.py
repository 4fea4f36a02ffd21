"""Another person's video, re-enacted by an avatar: its lips, lids, brows, gaze and head, as this person moves them.

Lips go by the 52 shapes that both people's head models share, less each one's own rest, through the avatar's map.
Upper-face channels mean the same in everybody, 1 being a person's own strong movement. The head moves about the
avatar's own mean pose as the other one about theirs, as far as the avatar's clip shows it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32

from gaussavatar.avatar.arkit import seen_codes, softly_within
from gaussavatar.avatar.controlled import on_torso
from gaussavatar.avatar.curves import map_of
from gaussavatar.avatar.driving import over_filmed
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.fitting.fit import only_writer
from gaussavatar.fitting.ownership import settled, write_owner
from gaussavatar.fitting.preparation import Job, preparation_stages, usable_landmarks
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.stages import run_stages
from gaussavatar.media.probe import probe, require_video
from gaussavatar.media.sound_file import read_audio
from gaussavatar.motion.poses import deviated, deviations, mean_pose
from gaussavatar.motion.track import MotionTrack, frames_of_seconds
from gaussavatar.native.blas import steady_sums
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.head.fit import arkit_track
from gaussavatar.tracking.head.signals import fitted_weights
from gaussavatar.tracking.head.track import load_head_track
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.arkit import rest_weights
from gaussavatar.training.layout import FitLayout
from gaussavatar.types import FaceMotion, Tracking

STAGES = ("capture", "landmarks", "tracking", "head")
"""What has to be known of the other video."""

ROOM = 0.1
"""How far the upper face may go beyond what the avatar's clip shows, in units of the clip's range."""

OFTEN = np.float32(0.75)
"""Share of the brows' reach in the clip that is used: at its end are moments that training saw once."""

_LEAST_SEEN = 0.5
"""Share of the other video's frames that must show a face."""


def reenact(
    avatar: LoadedAvatar,
    video: Path,
    audio: Path | None,
    out: Path | None,
    progress: Progress,
    folder: Path | None = None,
) -> tuple[Path | None, MotionTrack]:
    """Track a video and re-enact it.

    Args:
        avatar: who moves.
        video: of another person.
        audio: a sound to go with it; the video's own, where it has one, when None.
        out: what will be written, which must not be the video.
        progress: told of every stage.
        folder: see :func:`track_other`.

    Returns:
        The sound to go with it, None where there is none, and the motion, as long.

    Raises:
        UserError: no video, no face in it, or the output would replace it.
    """
    info = probe(video)
    require_video(info)
    if out is not None and out.exists() and out.samefile(video):
        raise UserError("another file for --out than the video", f"{out}", "name another one")
    if avatar.arkit is None:
        progress.say("this avatar has no map of shapes: its lips only open and close; fit it again for the rest")
    heard = audio or (video if info.has_audio else None)
    seconds = None if heard is None else read_audio(heard).seconds
    return heard, reenacted(avatar, track_other(video, folder, progress), seconds)


def track_other(video: Path, folder: Path | None, progress: Progress) -> CaptureLayout:
    """Track another person's video as far as their motion is concerned; what is there from before is kept.

    Args:
        video: with one face.
        folder: where it is tracked, ``tracks/<name of the video>`` when None, as the verb ``track`` does.
        progress: told of every stage.

    Raises:
        UserError: no video, or no face in it.
    """
    require_video(probe(video))
    request = settled(FitRequest(video, folder), "tracks", progress)
    assert request.out is not None
    layout = FitLayout(request.out)
    job = Job(request, load_recipe("default", ()), layout, progress)
    stages = tuple(stage for stage in preparation_stages(job) if stage.name in STAGES)
    with only_writer(layout.folder), frame_parallel(), steady_sums():
        write_owner(request, layout)
        run_stages(stages, job.capture.manifest, progress)
    return job.capture


def reenacted(avatar: LoadedAvatar, capture: CaptureLayout, seconds: float | None = None) -> MotionTrack:
    """The avatar's motion that re-enacts a tracked video.

    Args:
        avatar: who moves.
        capture: what :func:`track_other` left.
        seconds: length wanted, such as the sound's: cut at the end, or held at the last frame.

    Raises:
        UserError: too few frames show a face.
    """
    tracking, motion = load_tracking(capture.tracking), load_motion(capture.motion)
    seen = tracking.valid
    if seen.mean() < _LEAST_SEEN:
        came = f"{100 * seen.mean():.0f} % of its frames"
        raise UserError("a face in most of the video", came, "give a video of one person, seen from the front")
    shapes = filled(shapes_of(capture, tracking, motion), seen)
    codes, by_shapes = map_of(avatar).face(shapes.astype(np.float32))
    track = over_filmed(avatar, codes)
    track = replace(track, upper=upper_of(avatar, motion, by_shapes, seen))
    track = on_torso(avatar.filmed, track, head_of(avatar, tracking, seen))
    n = len(track) if seconds is None else frames_of_seconds(seconds)
    return track.taken(np.minimum(np.arange(n), len(track) - 1))


def shapes_of(capture: CaptureLayout, tracking: Tracking, motion: FaceMotion) -> Float[np.ndarray, "n 52"]:
    """The other person's 52 shapes in every frame, 0 at their rest."""
    named = arkit_track(load_head_track(capture.folder), usable_landmarks(capture.folder), tracking)
    weights = fitted_weights(named).astype(np.float64)
    return weights - rest_weights(weights, motion, tracking.valid)


def upper_of(
    avatar: LoadedAvatar, motion: FaceMotion, by_shapes: Float32[np.ndarray, "n u"], seen: Bool[np.ndarray, "n"]
) -> Float32[np.ndarray, "n u"]:
    """The avatar's upper face: channels that both people have by their names, others by the shapes."""
    rest = np.median(motion.upper[seen], axis=0)
    moved = filled(motion.upper - rest, seen)
    upper = by_shapes.copy()
    for index, name in enumerate(avatar.upper_names):
        if name in motion.upper_names:
            upper[:, index] = avatar.resting_upper[index] + moved[:, motion.upper_names.index(name)]
    shown = avatar.filmed.upper
    upper = softly_between(upper, shown.min(axis=0), shown.max(axis=0)).astype(np.float32)
    brows = [index for index, name in enumerate(avatar.upper_names) if name.startswith("brow")]
    if brows:
        # Brows move together, and hair with them: a mixture that the clip never shows leaves specks in it.
        mean, whiten, reach = seen_codes(shown[:, brows])
        upper[:, brows] = softly_within(upper[:, brows], mean, whiten, OFTEN * reach)
    return upper


def head_of(avatar: LoadedAvatar, tracking: Tracking, seen: Bool[np.ndarray, "n"]) -> Float32[np.ndarray, "n 4 4"]:
    """The other head's motion about its mean, about the avatar's own, within what the avatar's clip covers."""
    poses = np.tile(np.eye(4), (len(seen), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = tracking.R_camera_head, tracking.t_camera_head
    moved = filled(deviations(poses, mean_pose(poses[seen])), seen)
    own = mean_pose(avatar.filmed.T_camera_world)
    covered = deviations(avatar.filmed.T_camera_world, own)
    # Turns and places apart, each jointly: the clip shows a head turned and raised only together with what it shows.
    kept = [softly_within(moved[:, part], *seen_codes(covered[:, part])) for part in (slice(0, 3), slice(3, 6))]
    return deviated(own, np.concatenate(kept, axis=1).astype(float))


def softly_between(
    values: Float[np.ndarray, "n d"], low: Float[np.ndarray, "d"], high: Float[np.ndarray, "d"]
) -> Float[np.ndarray, "n d"]:
    """Values as they are between two bounds; beyond one ever slower, never past it by :data:`ROOM` of their range."""
    room = np.maximum(ROOM * (high - low), 1e-9)
    over, under = np.maximum(values - high, 0), np.maximum(low - values, 0)
    return np.clip(values, low, high) + room * (np.tanh(over / room) - np.tanh(under / room))


def filled(values: Float[np.ndarray, "n d"], seen: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n d"]:
    """Frames that were not seen lie on a line between those around them."""
    frames, known = np.arange(len(values)), np.nonzero(seen)[0]
    return np.stack([np.interp(frames, known, column[known]) for column in np.asarray(values, float).T], axis=1)
