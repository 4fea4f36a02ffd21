"""What of an avatar an export shows: a motion or a moment of it, and the Gaussians of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from gaussavatar.avatar.controlled import controlled
from gaussavatar.avatar.curves import motion_of_file
from gaussavatar.avatar.driving import motion_for_sound
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.media.sound import as_waveform
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.types import Activated

BEHIND = 1.1
"""How many times as far from the filming camera the mouth lies for programs that know one order by depth.

Measured on the news anchor, see docs/formats.md: best over views up to 30 degrees from the front.
"""


@dataclass(frozen=True)
class MotionWish:
    """Which motion, or which moment of it. The defaults are the filmed track, or the calm face with a closed mouth."""

    motion: Path | None = None
    """A motion track, or curves of ARKit's shapes."""
    audio: Path | None = None
    """A sound that the avatar speaks."""
    frame: int | None = None
    """One frame, from 0."""
    at: float | None = None
    """One moment, in seconds."""
    opening: float | None = None
    """How far the lips are open: 0 is closed, 1 wide open; as in the motion when None."""
    start: float = 0.0
    """From which second."""
    stop: float | None = None
    """To which second; to the end when None."""
    controls: Controls = field(default_factory=Controls)
    seed: int = 0
    """Of what the controls generate."""

    def track(self, avatar: LoadedAvatar, moves: bool) -> MotionTrack:
        """The motion of an avatar that is wished for.

        Args:
            avatar: whose motion it is.
            moves: whether a motion is wanted, or one frame.

        Raises:
            UserError: wishes that exclude each other, a moment beyond the motion's end, or a file that cannot be read.
        """
        self._check(moves)
        heard = None if self.audio is None else as_waveform(self.audio)
        if self.motion is not None:
            whole = motion_of_file(avatar, self.motion)
        elif heard is not None:
            whole = motion_for_sound(avatar, heard)
        else:
            timed = self.frame is not None or self.at is not None
            whole = avatar.filmed if moves or timed else at_rest(avatar)
        track = controlled(avatar, whole, self.controls, self.seed, heard)
        if self.start or self.stop is not None:
            track = track.between(self.start, track.seconds if self.stop is None else self.stop)
        if not moves:
            track = self._moment(track)
        return track if self.opening is None else opened(avatar, track, self.opening)

    def _check(self, moves: bool) -> None:
        if self.motion is not None and self.audio is not None:
            raise UserError("a motion or a sound", "both --motion and --audio", "leave one of them out")
        if self.frame is not None and self.at is not None:
            raise UserError("a frame or a moment", "both --frame and --at", "leave one of them out")
        if moves and (self.frame is not None or self.at is not None):
            raise UserError("a stretch for a format that moves", "--frame or --at", "give --from and --to")
        if self.opening is not None and not -1 <= self.opening <= 1.5:
            raise UserError("an --opening of -1 to 1.5", f"{self.opening:g}", "0 is closed, 1 wide open")

    def _moment(self, track: MotionTrack) -> MotionTrack:
        """One frame of a motion."""
        if self.frame is not None and not 0 <= self.frame < len(track):
            raise UserError(f"a --frame of 0 to {len(track) - 1}", f"{self.frame}", "give another one")
        if self.at is not None and not 0 <= self.at <= track.seconds:
            raise UserError(f"--at 0 to {track.seconds:.2f} seconds", f"{self.at:g}", "give another moment")
        first = self.frame or 0 if self.at is None else track.frame_at(self.at)
        return track.frames(first, first + 1)


def opened(avatar: LoadedAvatar, track: MotionTrack, opening: float) -> MotionTrack:
    """The motion with lips that stay open so far: 0 is closed, 1 wide open."""
    codes = avatar.closed.cpu().numpy() + np.float32(opening) * avatar.wide_open
    return replace(track, mouth_codes=np.repeat(codes[None].astype(np.float32), len(track), axis=0))


def at_rest(avatar: LoadedAvatar) -> MotionTrack:
    """One frame: closed mouth, upper face at the clip's rest, the head where the filmed track begins."""
    first = avatar.filmed.frames(0, 1)
    closed, calm = avatar.closed.cpu().numpy()[None], np.zeros_like(first.upper)
    return MotionTrack(closed, calm, first.T_camera_world, first.places, first.fps, first.upper_names)


def states(avatar: LoadedAvatar, track: MotionTrack, behind: float = 1.0) -> Iterator[Activated]:
    """All Gaussians of every frame of a motion in head space: face, mouth, torso where there is one.

    Args:
        avatar: whose they are.
        track: the motion.
        behind: how far the mouth is pulled back, see :func:`pulled_back`.
    """
    mouth = mouth_of(avatar)
    for frame in range(len(track)):
        face, pose = FaceState(track.mouth_codes[frame], track.upper[frame]), track.T_camera_world[frame]
        moved = [] if track.movements is None else track.movements[frame].tolist()
        expression = dict(zip(track.movement_names, moved, strict=True))
        drawn = avatar.gaussians(face, expression, int(track.places[frame]), pose)
        yield pulled_back(drawn, mouth, pose, behind)


def mouth_of(avatar: LoadedAvatar) -> slice:
    """Where the inside of the mouth is among an avatar's Gaussians."""
    count = len(avatar.model.face.gaussians)
    return slice(count, count + len(avatar.model.mouth.gaussians))


def pulled_back(gaussians: Activated, part: slice, T_camera_head: Float32[np.ndarray, "4 4"], by: float) -> Activated:
    """Some Gaussians ``by`` times as far from the filming camera, and as much larger: they look alike from there.

    We draw the face over the inside of the mouth. A viewer with one order by depth shows teeth through the lips and
    the chin, because the two lie at the same depth; pulled back, the mouth is behind the face for it too.
    """
    if by == 1:
        return gaussians
    T = torch.from_numpy(T_camera_head).to(gaussians.means)
    eye = -T[:3, :3].T @ T[:3, 3]
    means, scales = gaussians.means.clone(), gaussians.scales.clone()
    means[part] = eye + by * (means[part] - eye)
    scales[part] *= by
    return replace(gaussians, means=means, scales=scales)
