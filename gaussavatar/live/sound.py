"""The spoken sound as Opus: encoded once per session, sent to every page that hears it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from jaxtyping import Int16

RATE = 48_000
"""Samples per second of what is sent; also the ticks of its RTP clock."""

PACKET = 960
"""Samples of a packet: 20 ms."""

BITS_PER_SECOND = 48_000

TICK = Fraction(1, RATE)


class OpusVoice:
    """Encodes sound without a gap.

    A packet's time (``pts``) is that of its own first sample. The encoder looks ahead, so that the sound of a moment is
    heard when the RTP clock shows exactly that moment: players drop what was put before the first one.
    """

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, AudioCodecContext)
        codec.bit_rate, codec.sample_rate, codec.time_base = BITS_PER_SECOND, RATE, TICK
        codec.layout, codec.format = "mono", "s16"
        # Half of the effort: the difference is not heard at this rate, and sessions share few cores.
        codec.options = {"application": "audio", "compression_level": "5", "frame_duration": "20"}
        self._codec = codec

    def packets(self, sound: Int16[np.ndarray, "s"], start: int) -> list[av.Packet]:
        """Encode a stretch.

        Args:
            sound: whole packets, mono, at :data:`RATE`.
            start: the time of its first sample, in samples.
        """
        given: list[av.Packet] = []
        for k in range(0, len(sound), PACKET):
            frame = av.AudioFrame.from_ndarray(sound[None, k : k + PACKET], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start + k, TICK
            for packet in self._codec.encode(frame):
                packet.time_base = TICK
                given.append(packet)
        return given
