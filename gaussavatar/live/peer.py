"""The WebRTC connection of one page: the voice, motion or pictures go out, a microphone comes in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCDataChannel, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from jaxtyping import Int16

from gaussavatar.errors import UserError
from gaussavatar.live.given import SAMPLES, Given
from gaussavatar.live.limits import GREETING
from gaussavatar.live.tracks import SeenTrack, SpokenTrack

MOST_UNSENT = 16_384
"""Bytes of motion that wait for the network; while there are more, frames are left out. It is a few seconds' worth."""

CHANNEL = "motion"
"""Label of the data channel that takes motion."""


class Peer:
    """Sends a session's frames to a page until :meth:`close`; everything runs in the server's loop."""

    def __init__(
        self,
        pictures: bool,
        stun: str,
        tell: Callable[[dict[str, Any]], None],
        heard: Callable[[Int16[np.ndarray, "s"], int], None],
        ended: Callable[[], None],
    ) -> None:
        """Prepare a connection.

        Args:
            pictures: whether to send video.
            stun: address of a server that tells this machine its outer address; "" asks none.
            tell: sends the page a message.
            heard: called with what the page's microphone hears and its rate.
            ended: called when the connection is lost.
        """
        servers = [RTCIceServer(stun)] if stun else []
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._tell, self._heard, self._ended = tell, heard, ended
        self._channel: RTCDataChannel | None = None
        self._voice = SpokenTrack(self._sent)
        self._seen = SeenTrack() if pictures else None
        self._clock_told = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.connection.on("datachannel", self._open)
        self.connection.on("track", self._listen)
        self.connection.on("connectionstatechange", self._changed)

    async def answer(self, sdp: str) -> str:
        """Agree on a connection.

        Raises:
            UserError: the offer is none.
        """
        connection = self.connection
        try:
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            self._sender = connection.addTrack(self._voice)
            if self._seen is not None:
                connection.addTrack(self._seen)
            await connection.setLocalDescription(await connection.createAnswer())
        # What aiortc's parser raises on a broken description is not written down anywhere.
        except Exception as error:
            raise UserError("an offer of WebRTC with sound", str(error)[:100], "load the page anew") from error
        self._tasks.add(asyncio.create_task(self._greeted()))
        return connection.localDescription.sdp

    def give(self, one: Given) -> None:
        """Send a frame's motion or picture."""
        channel = self._channel
        if one.motion and channel is not None and channel.readyState == "open" and channel.bufferedAmount < MOST_UNSENT:
            channel.send(one.motion)
        if self._seen is not None and one.image is not None:
            self._seen.put((one.index, one.image))

    def speak(self, packet: Any) -> None:
        """Send a packet of sound."""
        self._voice.put(packet)

    async def close(self) -> None:
        """End the connection and all that belongs to it."""
        for task in self._tasks:
            task.cancel()
        self._voice.stop()
        if self._seen is not None:
            self._seen.stop()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.connection.close(), 5)

    def _sent(self, pts: int) -> None:
        """Tell the page once which moment of the RTP clock a frame is.

        aiortc begins that clock anywhere and does not say where; its sender keeps the time of the last packet.
        """
        if not self._clock_told:
            rtp = self._sender._RTCRtpSender__rtp_timestamp
            frame = pts // SAMPLES + 1
            self._tell({"kind": "clock", "frame": frame, "rtp": (rtp + frame * SAMPLES - pts) % 2**32})
            self._clock_told = True

    def _open(self, channel: RTCDataChannel) -> None:
        if channel.label == CHANNEL:
            self._channel = channel

    def _listen(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._tasks.add(asyncio.create_task(self._hear(track)))

    async def _hear(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))  # type: ignore[union-attr]
                # A microphone is one voice; Opus brings it twice.
                self._heard(np.ascontiguousarray(samples[:, 0]), frame.sample_rate)  # type: ignore[union-attr]

    def _changed(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            self._ended()

    async def _greeted(self) -> None:
        await asyncio.sleep(GREETING)
        if self.connection.connectionState != "connected":
            self._ended()
