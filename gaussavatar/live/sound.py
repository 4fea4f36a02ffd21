"""The spoken sound as Opus: encoded once per session, sent to every page that hears it."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

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


LOOK_AHEAD = 312
"""Samples by which the encoder looks ahead (2.5 ms of libopus' delay compensation, 4 ms of its resolution)."""

SILENT_FRAMES = 2
"""Frames of silence that are encoded after sound, until the encoder has given all of it."""


class OpusVoice:
    """Encodes sound without a gap.

    A packet's time (``pts``) is that of its own first sample. The encoder looks ahead, so that the sound of a moment is
    heard when the RTP clock shows exactly that moment: players drop what was put before the first one.
    """

    def __init__(self) -> None:
        self._codec, self._taken, self._silent = _encoder("20"), 0, SILENT_FRAMES

    def packets(self, sound: Int16[np.ndarray, "s"], start: int, speaking: bool = True) -> list[av.Packet]:
        """Encode a stretch; one that is silent, after others, is one packet that was encoded before.

        Args:
            sound: whole packets, mono, at :data:`RATE`; with silence, 40 ms.
            start: the time of its first sample, in samples.
            speaking: False where it is known to be silent.
        """
        self._silent = 0 if speaking and sound.any() else self._silent + 1
        if self._silent > SILENT_FRAMES and len(sound) == 2 * PACKET:
            return [_packet(silence(), start)]
        given = [_packet(data, start + k * PACKET) for k, data in enumerate(_encoded(self._codec, sound, self._taken))]
        self._taken += len(sound)
        return given


def _packet(data: bytes, start: int) -> av.Packet:
    packet = av.Packet(data)
    packet.pts, packet.time_base = start - LOOK_AHEAD, TICK
    return packet


def _encoder(milliseconds: str) -> AudioCodecContext:
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.bit_rate, codec.sample_rate, codec.time_base = BITS_PER_SECOND, RATE, TICK
    codec.layout, codec.format = "mono", "s16"
    # Half of the effort: the difference is not heard at this rate, and sessions share few cores.
    codec.options = {"application": "audio", "compression_level": "5", "frame_duration": milliseconds}
    return codec


def _encoded(codec: AudioCodecContext, sound: Int16[np.ndarray, "s"], taken: int) -> list[bytes]:
    size = codec.frame_size or PACKET
    given: list[bytes] = []
    for k in range(0, len(sound), size):
        frame = av.AudioFrame.from_ndarray(sound[None, k : k + size], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, taken + k, TICK
        given += map(bytes, codec.encode(frame))
    return given


@lru_cache
def silence() -> bytes:
    """A packet of 40 ms in which nothing is heard."""
    return _encoded(_encoder("40"), np.zeros(10 * PACKET, np.int16), 0)[-1]
