"""What a session gives out as an mp4: sound and picture of the same frames, by the frames' own numbers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
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
from gaussavatar.storage import atomic_path

FPS = 25
SAMPLES = RATE // FPS

MOST_PICTURES = 50
"""Pictures that wait to be encoded; beyond them pictures are left out, sound never."""

MOST_FRAMES = 1500
"""Frames that wait at all: where the encoder is a minute behind, the recording ends there."""


class Recorder:
    """Writes a video from a thread of its own; nothing is under its name before :meth:`close`."""

    def __init__(self, path: Path, facts: Mapping[str, str]) -> None:
        """Begin.

        Args:
            path: an mp4 file, replaced.
            facts: the file's metadata.

        Raises:
            UserError: it cannot be written.
        """
        if path.suffix.lower() != ".mp4":
            raise UserError("a file that ends in .mp4 for --record", str(path), "name one")
        self.path, self.dropped = path, 0
        self.problem: UserError | None = None
        self._facts = dict(facts)
        self._queue: queue.Queue[LiveFrame | None] = queue.Queue(MOST_FRAMES)
        self._first: int | None = None
        self._streams: tuple[VideoStream, AudioStream] | None = None
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(path))
            self._container = stack.enter_context(
                av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"})
            )
            self._files = stack.pop_all()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, frame: LiveFrame) -> None:
        """Write one more frame; never waits."""
        if self.problem is None:
            try:
                self._queue.put_nowait(frame)
            except queue.Full:
                self.problem = UserError(
                    "an encoder as quick as the session", "a minute behind", "record a smaller --size"
                )

    def close(self) -> None:
        """Finish the file and give it its name.

        Where no frame was given out there is none. Does not raise: what went wrong is :attr:`problem`.
        """
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._files:
                while (frame := self._queue.get()) is not None:
                    self._write(frame)
                if self._streams is None:
                    raise UserError("a frame to record", "none", "let the session live longer")
                for stream in self._streams:
                    self._container.mux(stream.encode(None))
        except (UserError, OSError, FFmpegError) as error:
            do = "look at the disk, and at what was recorded"
            self.problem = error if isinstance(error, UserError) else UserError("to record", str(error), do)
        # Who puts must not find it full for ever.
        while self.problem is not None and not self._queue.empty():
            self._queue.get_nowait()

    def _write(self, frame: LiveFrame) -> None:
        if self._streams is None:
            if frame.image is None:
                return
            self._streams = self._begin(*frame.image.shape[:2])
            self._first = frame.index
        assert self._first is not None
        video, audio = self._streams
        place = frame.index - self._first
        late = self._queue.qsize() > MOST_PICTURES
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
