"""A long video is written in segments, so that a killed run goes on where it stopped.

The finished segments of ``talk.mp4`` lie in ``talk.mp4.part/`` beside it, with the motion that they show and a key of
all that they depend on. When the last one is there they are joined without encoding a picture again, and the folder
goes. A run with other inputs discards what it finds.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.motion.track import MotionTrack
from gaussavatar.progress import Progress
from gaussavatar.storage import explain_os_error, read_json, write_json

SEGMENT_SECONDS = 60
"""What a kill may cost at most, in seconds of video."""

_KEY, _MOTION = "key.json", "motion.safetensors"


@dataclass(frozen=True)
class Segment:
    """Frames ``first`` to ``stop`` of a video."""

    path: Path
    first: int
    stop: int


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

    def segments(self, track: MotionTrack) -> list[Segment]:
        """All segments of a motion, finished or not."""
        step = frames_of_segment(track)
        starts = range(0, len(track), step)
        paths = [self.path / f"{number:05d}{self._suffix}" for number in range(len(starts))]
        return [Segment(path, first, min(first + step, len(track))) for path, first in zip(paths, starts, strict=True)]

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def removed_unless_useful(self) -> Iterator[None]:
        """Within the block segments are written; the folder stays behind only where one is finished and it failed."""
        for stale in self.path.glob(".*"):
            stale.unlink(missing_ok=True)
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


def write_in_segments(
    parts: PartFolder,
    track: MotionTrack,
    write: Callable[[Segment], None],
    join: Callable[[list[Segment]], None],
    progress: Progress,
) -> None:
    """Write every segment that is not there, then join all.

    Args:
        parts: where they are.
        track: what is shown.
        write: writes one segment to its path, atomically.
        join: writes the video from all segments.
        progress: told where a killed run goes on.
    """
    segments = parts.segments(track)
    with parts.removed_unless_useful():
        missing = [each for each in segments if not each.path.is_file()]
        if len(missing) < len(segments):
            progress.say(f"going on with segment {len(segments) - len(missing) + 1} of {len(segments)}")
        for segment in missing:
            write(segment)
        progress.say(f"joining {len(segments)} segments")
        join(segments)
