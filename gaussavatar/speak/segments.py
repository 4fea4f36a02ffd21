"""A long video is written in segments, so that a killed run goes on where it stopped.

The finished segments of ``talk.mp4`` lie in ``talk.mp4.part/`` beside it, with the motion that they show and a key of
all that they depend on. When the last one is there they are joined without encoding a picture again, and the folder
goes. A run with other inputs discards what it finds. Segments end in pauses of the sound, and where they end depends on
nothing else: several machines that draw a :class:`Share` each draw what one would have drawn.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaussavatar.audio.energy import frame_power
from gaussavatar.errors import UserError
from gaussavatar.motion.track import MotionTrack
from gaussavatar.progress import Progress
from gaussavatar.storage import explain_os_error, read_json, remove_leftovers, write_json
from gaussavatar.types import Waveform

SEGMENT_SECONDS = 60
"""Length of a segment in seconds of video, which a kill costs at most; by :data:`_SHIFT` of it more or less."""

_SHIFT = 0.2
"""Part of a segment by which its end is moved, at most, to lie in a pause."""

_PAUSE_SECONDS = 0.4
"""Over which the loudness is averaged that a cut lies in: shorter gaps belong to words."""

_AS_QUIET = 1.3
"""Powers, over the smallest, that are no louder to the ear; the one nearest to the middle is taken."""

_KEY, _MOTION = "key.json", "motion.safetensors"
HEARD = (_KEY, _MOTION)
"""What ``--part hear`` leaves in the folder, which every share reads."""

_SILENT = 1e-7
"""Power, of full scale, under which nothing is told apart: 70 dB below it."""


@dataclass(frozen=True)
class Segment:
    """Frames ``first`` to ``stop`` of a video."""

    path: Path
    first: int
    stop: int


@dataclass(frozen=True)
class Share:
    """Which part of a long video is drawn: segments ``number``, ``number + of`` and so on, from 1; 0 for the motion.

    The same video without a share is joined from what all shares have left.
    """

    number: int
    of: int = 1

    @staticmethod
    def read(text: str) -> Share:
        """The share that ``hear`` or ``K/N`` means.

        Raises:
            UserError: it means none.
        """
        number, slash, of = text.partition("/")
        if text == "hear":
            return Share(0)
        if not (slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise UserError("hear, or K/N with K from 1 to N", repr(text), "write, for example, --part 2/5")
        return Share(int(number), int(of))

    def of_segments(self, segments: Sequence[Segment]) -> list[Segment]:
        """The segments that this share draws."""
        return list(segments[self.number - 1 :: self.of]) if self.number else []


class PartFolder:
    """The folder of a video's finished segments; there only while a video of several is written.

    Args:
        out: the video.
        key: names all that its pictures depend on.
    """

    def __init__(self, out: Path, key: str) -> None:
        self.path = out.with_name(out.name + ".part")
        self._suffix = out.suffix
        self._key = key

    def kept(self, progress: Progress) -> MotionTrack | None:
        """The motion of a run with the same key that was killed; else None.

        What another run left is removed.
        """
        if not self.path.is_dir():
            return None
        try:
            if read_json(self.path / _KEY) == {"key": self._key}:
                return MotionTrack.load(self.path / _MOTION)
        except UserError:
            # Killed before it had begun.
            pass
        if not self._is_ours():
            came = f"{self.path}, which holds something else"
            raise UserError("a place for the parts of the video", came, "move it away, or name another --out")
        progress.say(f"{self.path.name}: parts of another video, made anew")
        self.remove()
        return None

    def _is_ours(self) -> bool:
        known = {_KEY, _MOTION, "parts.txt"}
        return all(each.name in known or each.name.startswith(".") or each.suffix == self._suffix
                   for each in self.path.iterdir())  # fmt: skip

    def keep(self, track: MotionTrack) -> None:
        """Make the folder, for a video that shows this motion."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        track.save(self.path / _MOTION)
        # Written last, so that it vouches for the motion.
        write_json(self.path / _KEY, {"key": self._key})

    def segments(self, ends: Sequence[int]) -> list[Segment]:
        """All segments that end before these frames (:func:`ends_of_segments`), finished or not."""
        paths = [self.path / f"{number:05d}{self._suffix}" for number in range(len(ends))]
        return [Segment(path, first, stop) for path, first, stop in zip(paths, (0, *ends[:-1]), ends, strict=True)]

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def removed_unless_useful(self) -> Iterator[None]:
        """Within the block segments are written; the folder stays behind only where one is finished and it failed."""
        remove_leftovers(self.path)
        try:
            yield
        except BaseException:
            if not any(self.path.glob(f"[0-9]*{self._suffix}")):
                self.remove()
            raise
        self.remove()


def frames_of_segment(track: MotionTrack) -> int:
    """Frames of every segment but the last."""
    return max(1, round(SEGMENT_SECONDS * track.fps))


def ends_of_segments(track: MotionTrack, waveform: Waveform | None, start: float = 0.0) -> list[int]:
    """Before which frame each segment of a motion ends: in pauses of its sound, the last one at its end.

    Args:
        track: what is shown.
        waveform: the sound; None, or a sound that is too short, for segments of one length.
        start: second of the sound with which the motion begins.
    """
    step = frames_of_segment(track)
    middles = range(step, len(track), step)
    ends = (_quietest(track.fps, middle, step, waveform, start) for middle in middles)
    return [*(end for end in ends if end < len(track)), len(track)]


def _quietest(fps: float, middle: int, step: int, waveform: Waveform | None, start: float) -> int:
    """The frame near ``middle`` about which the sound is quietest."""
    reach, half = int(_SHIFT * step), max(1, round(_PAUSE_SECONDS * fps / 2))
    if waveform is None or reach == 0:
        return middle
    first = middle - reach - half
    begin = max(0, round((start + first / fps) * waveform.rate))
    heard = waveform.samples[begin : begin + round((2 * (reach + half) + 1) / fps * waveform.rate)]
    power = frame_power(Waveform(heard, waveform.rate), 2 * (reach + half) + 1, fps)
    mean = np.convolve(power, np.ones(2 * half + 1) / (2 * half + 1), mode="valid")
    quiet = np.flatnonzero(mean <= _AS_QUIET * mean.min() + _SILENT)
    return middle - reach + int(quiet[np.abs(quiet - reach).argmin()])


def write_in_segments(
    parts: PartFolder,
    segments: Sequence[Segment],
    write: Callable[[Segment], None],
    join: Callable[[Sequence[Segment]], None],
    progress: Progress,
) -> None:
    """Write every segment that is not there, then join all.

    Args:
        parts: where they are.
        segments: all of them.
        write: writes one segment to its path, atomically.
        join: writes the video from all segments.
        progress: told where a killed run goes on.
    """
    with parts.removed_unless_useful():
        missing = [each for each in segments if not each.path.is_file()]
        if missing and len(missing) < len(segments):
            progress.say(f"going on with segment {len(segments) - len(missing) + 1} of {len(segments)}")
        for segment in missing:
            write(segment)
        progress.say(f"joining {len(segments)} segments")
        join(segments)
