"""The motion track: what stands between sound and picture. It can be saved, cut, joined and edited.

One rule turns seconds into frames, here and nowhere else: a sound has as many frames as its length times the frame
rate, to the nearest; frame i is shown from ``i / fps`` on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from jaxtyping import Float, Float32, Int

from gaussavatar.errors import UserError
from gaussavatar.motion.poses import are_poses
from gaussavatar.motion.retime import eased, interpolated, interpolated_poses, key_curve, positions_at
from gaussavatar.motion.sheet import POSE, pose_numbers, poses_of_numbers, read_sheet, write_sheet
from gaussavatar.storage import is_safetensors, read_arrays, write_arrays
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
    movements: Float32[np.ndarray, "n k"] | None = None
    """Movements that are added by name, 1 being full, for an avatar that is bound to a head; None for none."""
    movement_names: tuple[str, ...] = ()
    """Names of ``movements``, in order."""
    about: str = ""
    """Whose face it is and on what consent, as the avatar's record says; "" where it is not known."""

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
        moved = (0,) if self.movements is None else self.movements.shape
        if moved[-1] != len(self.movement_names) or (len(moved) == 2 and moved[0] != len(self)):
            raise ValueError(f"{len(self.movement_names)} names and {len(self)} frames for movements of {moved}")

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
        return self._with_arrays({name: array[frames] for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """What there is for each frame, by name; movements only where there are some."""
        names = ARRAYS if self.movements is None else (*ARRAYS, "movements")
        return {name: getattr(self, name) for name in names}

    def _with_arrays(self, arrays: Mapping[str, np.ndarray], fps: float | None = None) -> MotionTrack:
        return replace(self, **arrays, fps=self.fps if fps is None else fps)

    def at_fps(self, fps: float) -> MotionTrack:
        """The same motion at another frame rate, as long to the nearest frame.

        Codes and channels lie on monotone cubics through the frames, so that nothing goes further than it did; heads
        turn evenly between frames; places are the nearest ones.

        Raises:
            UserError: a frame rate that is none.
        """
        if not 1 <= fps <= 1000:
            raise UserError("1 to 1000 frames per second", f"{fps}", "change it")
        if fps == self.fps:
            return self
        return self._at(positions_at(len(self), frames_of_seconds(self.seconds, fps), self.fps / fps), fps)

    def lasting(self, seconds: float) -> MotionTrack:
        """The whole motion, faster or slower, in another length at the same frame rate.

        Raises:
            UserError: no length.
        """
        if not 0 < seconds <= 1e6:
            raise UserError("a length in seconds above 0", f"{seconds}", "change it")
        n = frames_of_seconds(seconds, self.fps)
        return self if n == len(self) else self._at(positions_at(len(self), n, len(self) / n), self.fps)

    def _at(self, positions: Float[np.ndarray, "k"], fps: float) -> MotionTrack:
        arrays = self.arrays()
        made = {name: interpolated(arrays[name], positions) for name in arrays if name not in ARRAYS[2:]}
        poses = interpolated_poses(self.T_camera_world, positions)
        nearest = np.floor(positions + 0.5).astype(int)
        return self._with_arrays({**made, "T_camera_world": poses, "places": self.places[nearest]}, fps)

    def with_keyframes(self, keys: Mapping[str, Mapping[float, float]], ease: float = 0.2) -> MotionTrack:
        """Values that are set at given moments, with soft ways between them, in and out.

        Before the first and after the last moment of a channel the motion goes over into what it was within ``ease``
        seconds; all other frames and channels stay as they are, to the bit.

        Args:
            keys: by channel, the value at each second: ``{"blink_left": {1.0: 1.0, 1.2: 1.0}}``. Channels are those
                of ``upper_names`` and ``movement_names``, ``mouth_0`` and so on, and the head's ``yaw_degrees``,
                ``pitch_degrees``, ``roll_degrees``, ``x_metres``, ``y_metres``, ``z_metres`` (see
                :mod:`gaussavatar.motion.sheet`).
            ease: seconds of going in and out.

        Raises:
            UserError: a channel or moment that the motion does not have, or a value that is no number.
        """
        if not 0 <= ease <= 60:
            raise UserError("an ease of 0 to 60 seconds", f"{ease}", "change it")
        arrays = {name: array.copy() for name, array in self.arrays().items()}
        pose = pose_numbers(self.T_camera_world)
        moved = np.zeros(len(self), bool)
        moments = np.arange(len(self)) / self.fps
        for channel, values in keys.items():
            times, wanted = self._checked_keys(channel, values)
            share, curve = eased(moments, times[0], times[-1], ease), key_curve(moments, times, wanted)
            touched = share > 0
            column = self._column(channel, arrays, pose)
            mixed = column[touched] + share[touched] * (curve[touched] - column[touched])
            column[touched] = mixed.astype(column.dtype)
            moved |= touched & (channel in POSE)
        arrays["T_camera_world"][moved] = poses_of_numbers(pose[moved]) if moved.any() else 0
        return self._with_arrays(arrays)

    def _checked_keys(
        self, channel: str, values: Mapping[float, float]
    ) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
        do = f'give {{"{channel}": {{seconds: value}}}} within the {self.seconds:.2f} s of the motion'
        if not isinstance(values, Mapping) or not values:
            raise UserError(f"moments and values for {channel}", repr(values), do)
        try:
            times, wanted = np.array(sorted(values.items()), float).T
        except (TypeError, ValueError) as error:
            raise UserError(f"numbers for {channel}", repr(values), do) from error
        if not (np.isfinite(times).all() and np.isfinite(wanted).all() and 0 <= times[0] <= times[-1] <= self.seconds):
            raise UserError(f"finite values at moments of the motion for {channel}", repr(dict(values)), do)
        return times, wanted

    def _column(self, channel: str, arrays: Mapping[str, np.ndarray], pose: np.ndarray) -> np.ndarray:
        """One channel of all frames, to be written into."""
        if channel in self.upper_names:
            return arrays["upper"][:, self.upper_names.index(channel)]
        if channel in self.movement_names:
            return arrays["movements"][:, self.movement_names.index(channel)]
        if channel in POSE:
            return pose[:, POSE.index(channel)]
        count = self.mouth_codes.shape[1]
        if re.fullmatch(r"mouth_\d{1,3}", channel) and int(channel[6:]) < count:
            return arrays["mouth_codes"][:, int(channel[6:])]
        known = (*self.upper_names, *self.movement_names, *POSE, *(f"mouth_{index}" for index in range(count)))
        raise UserError("a channel of the motion", repr(channel), "one of " + ", ".join(known))

    def save(self, path: Path | str) -> None:
        """Write the track, atomically: as a table for spreadsheets where the path ends in .csv, else as safetensors.

        Raises:
            UserError: it cannot be written there.
        """
        if Path(path).suffix.lower() == ".csv":
            names = (self.upper_names, self.movement_names)
            return write_sheet(Path(path), self.arrays(), *names, self.fps, self.avatar, self.about)
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "fps": repr(self.fps),
            "upper_names": json.dumps(self.upper_names),
            "avatar": self.avatar,
        }
        if self.about:
            facts["about"] = self.about
        if self.movement_names:
            facts["movement_names"] = json.dumps(self.movement_names)
        write_arrays(Path(path), self.arrays(), facts)
        return None

    @classmethod
    def load(cls, path: Path | str) -> MotionTrack:
        """Read a track that :meth:`save` wrote, of either kind, whatever its name.

        Raises:
            UserError: the file is missing, damaged, of another kind or a newer version, or holds no usable motion.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"a motion track at {path}", "no such file", "give one that a track's save wrote")
        if not is_safetensors(path):
            sheet = read_sheet(path)
            return cls(
                **sheet.arrays,
                fps=sheet.fps,
                upper_names=sheet.upper,
                avatar=sheet.avatar,
                about=sheet.about,
                movement_names=sheet.movements,
            )
        arrays, facts = read_arrays(path)
        if facts.get("format") != FORMAT:
            raise UserError(f"a motion track at {path}", "another kind of file", "give one that a track's save wrote")
        if facts.get("version") != VERSION:
            came = f"version {facts.get('version')}"
            raise UserError(f"a motion track of version {VERSION}", came, "update gaussavatar")
        try:
            values = [arrays[name].astype(np.float32) for name in ARRAYS[:3]]
            places, fps = arrays["places"].astype(np.int64), float(facts["fps"])
            names = _names(facts["upper_names"])
            moved = {}
            if "movements" in arrays:
                values.append(arrays["movements"].astype(np.float32))
                moved = {"movements": values[-1], "movement_names": _names(facts["movement_names"])}
            said = {name: facts.get(name, "") for name in ("avatar", "about")}
            track = cls(*values[:3], places, fps=fps, upper_names=names, **said, **moved)
        except (KeyError, ValueError, TypeError, IndexError, msgspec.MsgspecError) as error:
            raise UserError(f"a whole motion track at {path}", f"a damaged one ({error})", "save it again") from error
        sane = len(track) > 0 and 1 <= fps <= 1000 and track.places.min() >= 0
        if not sane or not all(np.isfinite(value).all() for value in values) or not are_poses(track.T_camera_world):
            came = "none, or NaN, infinity, a negative place or a head pose that is none"
            raise UserError(f"frames of finite numbers in {path}", came, "save it again")
        return track

    @classmethod
    def joined(cls, tracks: Sequence[MotionTrack]) -> MotionTrack:
        """Tracks one after the other.

        Raises:
            UserError: none is given, or their avatars, codes, channels or frame rates differ.
        """
        kinds = {
            (
                *(track.mouth_codes.shape[1], track.upper.shape[1], track.fps),
                *(track.upper_names, track.movement_names, track.avatar),
            )
            for track in tracks
        }
        if len(kinds) != 1:
            came = "none" if not tracks else "tracks whose avatars, codes, channels or frame rates differ"
            raise UserError("motion tracks of one avatar", came, "join tracks that the same avatar made")
        parts = [track.arrays() for track in tracks]
        return tracks[0]._with_arrays({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _names(text: str) -> tuple[str, ...]:
    """Names as a track's file keeps them; msgspec's error where they are none."""
    return tuple(msgspec.json.decode(text, type=list[str]))
