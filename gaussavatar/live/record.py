"""What a session gives out as an mp4: sound and picture of the same frames, by the frames' own numbers."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from gaussavatar.avatar.live.records import LiveFrame
from gaussavatar.errors import UserError
from gaussavatar.live.sound import RATE, TICK
from gaussavatar.live.take import FRAGMENTS, make_whole, recover_takes, take_path
from gaussavatar.storage import explain_os_error, locked_new

FPS = 25
SAMPLES = RATE // FPS

MOST_PICTURES = 50
"""Pictures that wait to be encoded; beyond them pictures are left out, sound never."""

MOST_FRAMES = 1500
"""Frames that wait at all: where the encoder is a minute behind, the recording ends there."""


class Recordings:
    """The videos of all sessions of a server."""

    def __init__(self, path: Path, facts: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Prepare; what killed servers were recording in the folder gets a name.

        Args:
            path: an mp4 file, replaced; of the second session and later ones with their number.
            facts: the files' metadata.
            say: called with what became of each.

        Raises:
            UserError: it is no mp4 file's name, or its folder cannot be written.
        """
        if path.suffix.lower() != ".mp4" or path.is_dir():
            raise UserError("a file that ends in .mp4 for --record", str(path), "name one")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as error:
            came = f"{path.parent} ({error.strerror})"
            raise UserError("a folder for --record that can be written", came, "name a file elsewhere") from error
        recover_takes(path.parent, say)
        self._path, self._facts, self._say = path, facts, say
        self._begun, self._open = 0, set[Recorder]()
        self._lock = threading.Lock()

    def begin(self) -> Recorder:
        """A recorder for one more session.

        Raises:
            UserError: its file cannot be written.
        """
        with self._lock:
            self._begun += 1
            number = self._begun
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        recorder = Recorder(path, self._facts, self._ended)
        with self._lock:
            self._open.add(recorder)
        recorder.start()
        return recorder

    def close(self) -> None:
        """End all that are open, and wait until each has its name."""
        with self._lock:
            left = list(self._open)
        for recorder in left:
            recorder.close()

    def _ended(self, recorder: Recorder) -> None:
        with self._lock:
            self._open.discard(recorder)
        self._say(recorder.outcome)


class Recorder:
    """Writes a video from a thread of its own; nothing is under its name before it is whole.

    Until then it lies beside it in fragments of a second (:mod:`gaussavatar.live.take`).
    """

    def __init__(self, path: Path, facts: Mapping[str, str], ended: Callable[[Recorder], None]) -> None:
        """Prepare.

        Args:
            path: an mp4 file, replaced.
            facts: the file's metadata.
            ended: called from the recorder's thread when the file has its name, or will never have it.

        Raises:
            UserError: it cannot be written.
        """
        self.path, self.dropped, self.is_whole = path, 0, False
        self.problem: UserError | None = None
        self._facts, self._ended = dict(facts), ended
        self._queue: queue.SimpleQueue[LiveFrame | None] = queue.SimpleQueue()
        self._first: int | None = None
        self._streams: tuple[VideoStream, AudioStream] | None = None
        self._take = take_path(path)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_new(self._take))
            except OSError as error:
                raise explain_os_error(error, path) from error
            self._container = av.open(str(self._take), "w", format="mp4", options=FRAGMENTS)
            self._lock = stack.pop_all()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def queued(self) -> int:
        """Frames that wait to be written."""
        return self._queue.qsize()

    @property
    def outcome(self) -> str:
        """What became of it, in one line."""
        left_out = f"; {self.dropped} pictures were left out, the encoder was too slow" if self.dropped else ""
        why = "" if self.problem is None else f"; {self.problem}"
        kept = f"; what there is lies in {self._take}, the next recording in that folder makes it whole"
        if self.is_whole:
            return f"recorded: {self.path}{left_out}{why}"
        return f"not recorded: {self.path}{why}{kept if self._take.exists() else ''}"

    def put(self, frame: LiveFrame) -> None:
        """Write one more frame; never waits."""
        if self.problem is not None:
            return
        if self.queued < MOST_FRAMES:
            self._queue.put(frame)
        else:
            self.problem = UserError("an encoder as quick as the session", "a minute behind", "record a smaller --size")

    def end(self) -> None:
        """Let the file be finished and get its name, without waiting for it.

        Where no frame was given out there is none. Does not raise: what went wrong is in :attr:`outcome`.
        """
        self._queue.put(None)

    def close(self) -> None:
        """The same, and wait for it."""
        self.end()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._lock:
                with self._container:
                    while (frame := self._queue.get()) is not None:
                        self._write(frame)
                    if self._streams is not None:
                        for stream in self._streams:
                            self._container.mux(stream.encode(None))
                if self._streams is not None:
                    make_whole(self._take, self.path)
                    self.is_whole = True
                self._take.unlink()
            if self._streams is None:
                self.problem = UserError("a frame to record", "none", "let the session live longer")
        except (UserError, OSError, FFmpegError) as error:
            do = "look at the disk, and at what was recorded"
            self.problem = error if isinstance(error, UserError) else UserError("to record", str(error), do)
        self._ended(self)

    def _write(self, frame: LiveFrame) -> None:
        if self._streams is None:
            if frame.image is None:
                return
            self._streams = self._begin(*frame.image.shape[:2])
            self._first = frame.index
        assert self._first is not None
        video, audio = self._streams
        place = frame.index - self._first
        late = place > 0 and self.queued > MOST_PICTURES
        if frame.image is not None and not late:
            image = frame.image[: video.height, : video.width, :3]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = place, Fraction(1, FPS)
            self._container.mux(video.encode(picture))
        self.dropped += late
        sound = av.AudioFrame.from_ndarray(frame.audio[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = RATE, place * SAMPLES, TICK
        self._container.mux(audio.encode(sound))

    def _begin(self, height: int, width: int) -> tuple[VideoStream, AudioStream]:
        self._container.metadata.update(self._facts)
        video = self._container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "20"})
        video.width, video.height, video.pix_fmt = width - width % 2, height - height % 2, "yuv420p"
        video.time_base = Fraction(1, FPS)
        audio = self._container.add_stream("aac", rate=RATE, layout="mono")
        return video, audio
