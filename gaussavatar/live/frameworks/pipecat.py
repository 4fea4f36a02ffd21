"""An avatar for Pipecat: a processor behind the speech service; its sound becomes pictures and sound in step."""

from __future__ import annotations

import asyncio

import numpy as np

from gaussavatar.avatar.live.records import LiveFrame
from gaussavatar.avatar.live.session import Live
from gaussavatar.packages import missing_package

try:
    from pipecat.frames.frames import (
        AudioRawFrame,
        CancelFrame,
        EndFrame,
        Frame,
        InputAudioRawFrame,
        InterruptionFrame,
        OutputImageRawFrame,
        SpeechOutputAudioRawFrame,
        StartFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
except ModuleNotFoundError as error:
    raise (missing_package(error) or error) from error

PATIENCE = 2.0
"""Seconds beyond the sound that waits, after which the end of the pipeline does not wait for it any more."""


class AvatarService(FrameProcessor):
    """Eats ``TTSAudioRawFrame``; gives 25 times a second a picture and the sound that belongs to it.

    The sound is a stream without gaps (``SpeechOutputAudioRawFrame``, silence where nothing is said), by which the
    transport tells when the bot speaks. ``TTSStoppedFrame`` ends a segment and goes on when its sound was given out;
    ``InterruptionFrame`` drops the rest; ``EndFrame`` waits for it. What the user says (``InputAudioRawFrame``) is
    listened to. Everything else passes.

    Args:
        live: a session with ``render="image"``, nobody else's; it is closed with the pipeline.
    """

    def __init__(self, live: Live, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._live = live
        self._giving: asyncio.Task | None = None
        self._image: tuple[bytes, tuple[int, int], str] | None = None
        self._is_open = False
        self._stopped: list[TTSStoppedFrame] = []
        self._silent = asyncio.Event()
        self._silent.set()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See the class."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            if frame.audio:
                self._is_open = True
                self._silent.clear()
                self._live.push(_pcm(frame), frame.sample_rate)
            return
        if isinstance(frame, TTSStoppedFrame) and self._is_open:
            self._is_open = False
            self._stopped.append(frame)
            self._live.flush()
            return
        if isinstance(frame, InputAudioRawFrame):
            self._live.listen(_pcm(frame), frame.sample_rate)
        elif isinstance(frame, InterruptionFrame):
            self._live.clear()
            self._is_open = False
            self._stopped.clear()
            self._silent.set()
        elif isinstance(frame, EndFrame):
            await self._say_the_rest()
            await self._end()
        elif isinstance(frame, CancelFrame):
            await self._end()
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._giving is None:
            self._giving = self.create_task(self._give())

    async def cleanup(self) -> None:
        """End the session."""
        await super().cleanup()
        await self._end()

    async def _give(self) -> None:
        async for frame in self._live:
            await self._push(frame)
            for event in frame.events:
                if event.kind == "finished" and not event.interrupted and self._stopped:
                    await self.push_frame(self._stopped.pop(0))
                    if not self._stopped and not self._is_open:
                        self._silent.set()

    async def _push(self, frame: LiveFrame) -> None:
        if frame.image is not None:
            height, width, channels = frame.image.shape
            self._image = (frame.image.tobytes(), (width, height), "RGBA" if channels == 4 else "RGB")
        if self._image is not None:
            # Behind the sound before it, and not by a clock of the transport's own, from which sound drifts away.
            picture = OutputImageRawFrame(*self._image)
            picture.sync_with_audio = True
            await self.push_frame(picture)
        await self.push_frame(SpeechOutputAudioRawFrame(frame.audio.tobytes(), self._live.rate, 1))

    async def _say_the_rest(self) -> None:
        if self._is_open:
            self._is_open = False
            self._stopped.append(TTSStoppedFrame())
            self._live.flush()
        try:
            await asyncio.wait_for(self._silent.wait(), self._live.stats.queued_seconds + PATIENCE)
        except TimeoutError:
            self._silent.set()

    async def _end(self) -> None:
        giving, self._giving = self._giving, None
        if giving is not None:
            await self.cancel_task(giving)
        self._live.close()


def _pcm(frame: AudioRawFrame) -> np.ndarray:
    return np.frombuffer(frame.audio, np.int16).reshape(-1, frame.num_channels)
