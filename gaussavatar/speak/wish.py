"""What a user may ask of a video besides what is said in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from gaussavatar.avatar.behind import TorsoKind
from gaussavatar.errors import UserError
from gaussavatar.motion.track import MotionTrack

SLOWEST, FASTEST = 1.0, 240.0
"""Frames per second that a video may have."""


@dataclass(frozen=True)
class VideoWish:
    """How a video looks and which stretch it shows; the defaults give all of the sound as the avatar was filmed."""

    background: str | Path = "plate"
    """``plate``, ``none``, ``#rrggbb`` or a picture, see :mod:`gaussavatar.avatar.background`."""
    torso: TorsoKind = "real"
    """``real`` pastes the filmed torso, ``gaussians`` draws the torso branch."""
    fps: float | None = None
    """Frames per second; those of the motion when None, which is 25 for a motion that a sound gave."""
    size: int | None = None
    """The larger side of the video, pixels; as filmed when None."""
    crop: str | None = None
    """``head``, or ``x,y,width,height`` in pixels of the filmed picture; all of it when None."""
    start: float = 0.0
    """From which second of the sound and of the motion."""
    stop: float | None = None
    """To which second; to the end when None."""

    def check(self) -> None:
        """Refuse what no sound and no avatar could fulfil.

        Raises:
            UserError: no frame rate, or a stretch that ends before it begins.
        """
        if self.fps is not None and not SLOWEST <= self.fps <= FASTEST:
            wanted = f"{SLOWEST:g} to {FASTEST:g} frames per second"
            raise UserError(wanted, repr(self.fps), "25, 30, 50 and 60 are usual")
        stop = self.stop
        if not 0 <= self.start < float("inf") or (stop is not None and not self.start < stop < float("inf")):
            came = f"{self.start:g} to {'the end' if stop is None else f'{stop:g} s'}"
            raise UserError("a stretch of seconds that begins before it ends", came, "change --from or --to")

    def cut(self, track: MotionTrack) -> MotionTrack:
        """The wished-for stretch of a motion; it begins at :meth:`first_moment`.

        Raises:
            UserError: it begins after the motion's end.
        """
        if self.start == 0 and self.stop is None:
            return track
        return track.between(self.start, track.seconds if self.stop is None else self.stop)

    def first_moment(self, fps: float) -> float:
        """The second at which the stretch begins: the start of a frame of the whole motion."""
        return math.floor(self.start * fps + 1e-6) / fps
