"""The motion track: what stands between sound and picture. It can be saved, cut, joined and edited.

One rule turns seconds into frames, here and nowhere else: a sound has as many frames as its length times the frame
rate, to the nearest; frame i is shown from ``i / fps`` on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from gaussavatar.errors import UserError
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.types import VIDEO_FPS

FORMAT, VERSION = "gaussavatar motion", "1"
ARRAYS = ("mouth_codes", "upper", "T_camera_world", "places")


def frames_of_seconds(seconds: float, fps: float = VIDEO_FPS) -> int:
    """Video frames of a stretch of time: the nearest whole number, and at least one."""
    return max(1, round(seconds * fps))


@dataclass(frozen=True)
class FaceState:
    """The face at one moment: mouth codes and upper-face channels."""

    mouth_codes: Float32[np.ndarray, "m"]
    upper: Float32[np.ndarray, "u"]


@dataclass(frozen=True)
class MotionTrack:
    """Everything that moves in an avatar, frame by frame.

    ``mouth_codes`` are in units of the avatar's own codes, ``upper`` in this person's strong movement (0 rest, 1
    strong). ``T_camera_world`` is the head's pose: it maps head space, which is the world, to the filming camera, in
    metres. ``places`` are indices into the avatar's filmed track: pose and torso of a frame come from the same place.
    """

    mouth_codes: Float32[np.ndarray, "n m"]
    upper: Float32[np.ndarray, "n u"]
    T_camera_world: Float32[np.ndarray, "n 4 4"]
    places: Int[np.ndarray, "n"]
    fps: float = float(VIDEO_FPS)
    upper_names: tuple[str, ...] = ()
    """Names of the channels of ``upper``, in order; () where they are not known."""
    avatar: str = ""
    """Which avatar's codes and filmed track these are (:attr:`AvatarRecord.identity`); "" where it is not known."""

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same frames.

        Raises:
            ValueError: they do not, or a pose is not 4 by 4.
        """
        counts = {len(self.mouth_codes), len(self.upper), len(self.T_camera_world), len(self.places)}
        if len(counts) != 1 or self.T_camera_world.shape[1:] != (4, 4):
            shapes = {name: getattr(self, name).shape for name in ARRAYS}
            raise ValueError(f"a motion track wants arrays of one length and poses of (4, 4), got {shapes}")
        if self.upper_names and len(self.upper_names) != self.upper.shape[1]:
            raise ValueError(f"{len(self.upper_names)} names for {self.upper.shape[1]} upper-face channels")

    def __len__(self) -> int:
        return len(self.mouth_codes)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    def frame_at(self, seconds: float) -> int:
        """The frame that is shown at a moment; the first before the start, the last after the end."""
        # A millionth of a frame more: i / fps * fps may fall just short of i.
        return min(max(math.floor(seconds * self.fps + 1e-6), 0), len(self) - 1)

    def at(self, seconds: float) -> FaceState:
        """The face at a moment, linear between the middles of the frames."""
        place = min(max(seconds * self.fps - 0.5, 0.0), len(self) - 1.0)
        before = int(place)
        after, share = min(before + 1, len(self) - 1), np.float32(place - before)

        def between(values: np.ndarray) -> np.ndarray:
            return values[before] + share * (values[after] - values[before])

        return FaceState(between(self.mouth_codes), between(self.upper))

    def frames(self, start: int, stop: int) -> MotionTrack:
        """Frames ``start`` to ``stop``, as a slice counts them."""
        part = slice(start, stop)
        return self.taken(np.arange(len(self))[part])

    def between(self, start: float, stop: float) -> MotionTrack:
        """The frames shown from ``start`` to ``stop`` seconds; at least one.

        Raises:
            UserError: the stretch is empty or begins after the end.
        """
        if not 0 <= start < min(stop, self.seconds):
            raise UserError(
                f"a stretch within the {self.seconds:.2f} s of the motion", f"{start} to {stop} s", "give another one"
            )
        first = self.frame_at(start)
        return self.frames(first, min(len(self), first + frames_of_seconds(stop - start, self.fps)))

    def taken(self, frames: Int[np.ndarray, "k"]) -> MotionTrack:
        """The frames of some indices, in that order."""
        arrays = (getattr(self, name)[frames] for name in ARRAYS)
        return MotionTrack(*arrays, fps=self.fps, upper_names=self.upper_names, avatar=self.avatar)

    def save(self, path: Path | str) -> None:
        """Write the track as a safetensors file, atomically."""
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "fps": repr(self.fps),
            "upper_names": json.dumps(self.upper_names),
            "avatar": self.avatar,
        }
        write_arrays(Path(path), {name: getattr(self, name) for name in ARRAYS}, facts)

    @classmethod
    def load(cls, path: Path | str) -> MotionTrack:
        """Read a track that :meth:`save` wrote.

        Raises:
            UserError: the file is missing, damaged, of another kind or a newer version, or holds no usable motion.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"a motion track at {path}", "no such file", "give one that a track's save wrote")
        arrays, facts = read_arrays(path)
        if facts.get("format") != FORMAT:
            raise UserError(f"a motion track at {path}", "another kind of file", "give one that a track's save wrote")
        if facts.get("version") != VERSION:
            came = f"version {facts.get('version')}"
            raise UserError(f"a motion track of version {VERSION}", came, "update gaussavatar")
        try:
            values = [arrays[name].astype(np.float32) for name in ARRAYS[:3]]
            places, fps = arrays["places"].astype(np.int64), float(facts["fps"])
            names = tuple(map(str, json.loads(facts["upper_names"])))
            track = cls(*values, places, fps=fps, upper_names=names, avatar=facts.get("avatar", ""))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise UserError(f"a whole motion track at {path}", f"a damaged one ({error})", "save it again") from error
        sane = len(track) > 0 and 1 <= fps <= 1000 and track.places.min() >= 0
        if not sane or not all(np.isfinite(value).all() for value in values):
            raise UserError(
                f"frames of finite numbers in {path}", "none, or NaN, infinity or a negative place", "save it again"
            )
        return track

    @classmethod
    def joined(cls, tracks: Sequence[MotionTrack]) -> MotionTrack:
        """Tracks one after the other.

        Raises:
            UserError: none is given, or their avatars, codes, channels or frame rates differ.
        """
        kinds = {
            (track.mouth_codes.shape[1], track.upper.shape[1], track.fps, track.upper_names, track.avatar)
            for track in tracks
        }
        if len(kinds) != 1:
            came = "none" if not tracks else "tracks whose avatars, codes, channels or frame rates differ"
            raise UserError("motion tracks of one avatar", came, "join tracks that the same avatar made")
        arrays = (np.concatenate([getattr(track, name) for track in tracks]) for name in ARRAYS)
        first = tracks[0]
        return cls(*arrays, fps=first.fps, upper_names=first.upper_names, avatar=first.avatar)
