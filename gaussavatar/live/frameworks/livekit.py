"""An avatar for LiveKit Agents: a ``VideoGenerator`` on top of a live session, for its ``AvatarRunner``.

``AvatarRunner`` counts as played every sound frame that it is given. So sound is given only where something is said, to
the very sample; idle frames are pictures alone, at the same 25 per second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

import numpy as np

from gaussavatar.avatar.live.records import FPS, LiveFrame
from gaussavatar.avatar.live.session import Live
from gaussavatar.errors import UserError
from gaussavatar.packages import missing_package

try:
    from livekit import rtc
    from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator
except ModuleNotFoundError as error:
    raise (missing_package(error) or error) from error

PATIENCE = 0.5
"""Seconds that an interruption waits at most for a sound frame that was handed over and not yet counted."""


class AvatarVideoGenerator(VideoGenerator):
    """What ``AvatarRunner`` takes as ``video_gen``; one consumer iterates over it.

    Args:
        live: a session with ``render="image"``, nobody else's.

    Raises:
        UserError: the session gives no pictures (found at the first frame).
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._begun, self._alive_from, self._is_open = 0, 0, False
        self._segment, self._said = -1, 0
        self._segment_over, self._counted, self._may_go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for event in (self._segment_over, self._counted, self._may_go_on):
            event.set()

    def options(self, width: int, height: int) -> AvatarOptions:
        """The runner's options for pictures of this size; one channel at the session's rate."""
        return AvatarOptions(width, height, FPS, self._live.rate, 1)

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Sound to be said, or the end of a segment.

        The next segment waits until the one before is over, since the runner has one position for both.
        """
        if isinstance(frame, AudioSegmentEnd):
            self._live.flush()
            if self._is_open:
                self._is_open = False
                self._segment_over.clear()
            return
        alive_from = self._alive_from
        await self._segment_over.wait()
        pcm = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
        if alive_from != self._alive_from or not len(pcm):
            return
        # The session numbers its segments in the order in which their first sound comes.
        self._begun += not self._is_open
        self._is_open = True
        self._live.push(pcm, frame.sample_rate)

    def listen(self, frame: rtc.AudioFrame) -> None:
        """The user's voice: the avatar looks at it and nods."""
        pcm = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
        self._live.listen(pcm, frame.sample_rate)

    def clear_buffer(self) -> Coroutine[None, None, None] | None:
        """Interruption: from this call on nothing of what was pushed before it is given out.

        Where a sound frame was handed over and is not counted yet, what is returned waits for that, so that the
        position that the runner then reports holds it.
        """
        self._alive_from, self._is_open = self._begun, False
        self._live.clear()
        self._segment_over.set()
        if self._counted.is_set():
            return None
        self._may_go_on.clear()
        return self._settled()

    async def _settled(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._counted.wait(), PATIENCE)
        self._may_go_on.set()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """Pictures without end; where something is said, each followed by its sound."""
        picture: rtc.VideoFrame | None = None
        async for frame in self._live:
            picture = picture if frame.image is None else picture_of(frame.image)
            if picture is None:
                raise UserError("a session with pictures", "one without", 'begin it with live(render="image")')
            sound, over = self._sound_of(frame)
            yield picture
            if len(sound) and self._segment >= self._alive_from:
                self._counted.clear()
                yield sound_of(sound, self._live.rate)
                self._counted.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._may_go_on.wait(), 2 * PATIENCE)
            if over and self._segment >= self._alive_from:
                self._segment_over.set()
                yield AudioSegmentEnd()

    def _sound_of(self, frame: LiveFrame) -> tuple[np.ndarray, bool]:
        """The samples of a frame that are its segment's, and whether that segment is over."""
        over, given = False, len(frame.audio) if frame.speaking else 0
        for event in frame.events:
            if event.kind == "start":
                self._segment, self._said = event.segment, 0
            elif event.kind == "finished" and not event.interrupted and event.segment == self._segment:
                over, given = True, round(event.position * self._live.rate) - self._said
        given = max(0, min(given, len(frame.audio)))
        self._said += given
        return frame.audio[:given], over


def picture_of(image: np.ndarray) -> rtc.VideoFrame:
    """A picture (h, w, 3 or 4) of uint8 as LiveKit has it."""
    height, width, channels = image.shape
    kind = rtc.VideoBufferType.RGBA if channels == 4 else rtc.VideoBufferType.RGB24
    return rtc.VideoFrame(width, height, kind, np.ascontiguousarray(image).tobytes())


def sound_of(samples: np.ndarray, rate: int) -> rtc.AudioFrame:
    """Samples (n,) of int16 as LiveKit has them."""
    return rtc.AudioFrame(samples.tobytes(), rate, 1, len(samples))
