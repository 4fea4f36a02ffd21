"""What a page hears and sees, as tracks that aiortc sends: bounded, so that who is slow loses what is old."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Generic, TypeVar

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from jaxtyping import UInt8

MOST_PACKETS = 50
"""Packets of sound that wait to be sent: one second."""

MOST_PICTURES = 3

PICTURE_TICKS = 3600
"""Ticks of the RTP clock of video (90 kHz) in a frame."""


T = TypeVar("T")


class _Track(MediaStreamTrack, Generic[T]):
    def __init__(self, most: int) -> None:
        super().__init__()
        self._waiting: deque[T] = deque(maxlen=most)
        self._came = asyncio.Event()
        self._wanted = False

    def put(self, one: T) -> None:
        """Send one more; nothing is kept before anybody asks for it."""
        if self._wanted:
            self._waiting.append(one)
            self._came.set()

    def stop(self) -> None:
        """End: whoever waits is told so."""
        super().stop()
        self._came.set()

    async def next(self) -> T:
        """The oldest that waits.

        Raises:
            MediaStreamError: the track has ended.
        """
        self._wanted = True
        while not self._waiting:
            if self.readyState != "live":
                raise MediaStreamError
            self._came.clear()
            await self._came.wait()
        return self._waiting.popleft()


class SpokenTrack(_Track[av.Packet]):
    """The avatar's voice, encoded already."""

    kind = "audio"

    def __init__(self, sent: Callable[[int], None]) -> None:
        """Begin with nothing to say.

        Args:
            sent: called with the time (pts) of each packet as soon as it has left.
        """
        super().__init__(MOST_PACKETS)
        self._sent = sent
        self._last: int | None = None

    async def recv(self) -> av.Packet:
        """The next packet; that it is asked for says that the one before has left."""
        if self._last is not None:
            self._sent(self._last)
        packet = await self.next()
        self._last = packet.pts
        return packet


class SeenTrack(_Track[tuple[int, UInt8[np.ndarray, "h w 3"]]]):
    """The avatar's pictures, with the index of each one's frame."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__(MOST_PICTURES)

    async def recv(self) -> av.VideoFrame:
        """The next picture, of even sides."""
        index, image = await self.next()
        height, width = (side - side % 2 for side in image.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        frame.pts, frame.time_base = index * PICTURE_TICKS, Fraction(1, 90_000)
        return frame
