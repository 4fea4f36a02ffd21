"""One session: a person who speaks, whoever lets them speak, and whoever sees and hears them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av
import numpy as np
from jaxtyping import Int16

from gaussavatar.avatar.live.records import FRAME, LiveFrame, LiveMotion
from gaussavatar.errors import UserError
from gaussavatar.live.config import Voice
from gaussavatar.live.given import Given, given
from gaussavatar.live.limits import FLOOR_KEPT
from gaussavatar.live.sound import OpusVoice
from gaussavatar.speak.text.registry import say_text
from gaussavatar.storage import scratch_folder

if TYPE_CHECKING:
    from gaussavatar.avatar.live.session import Live
    from gaussavatar.live.peer import Peer
    from gaussavatar.live.record import Recorder

AHEAD = 4
"""Frames at rest that are sent ahead with one: five in a message cost little more than one."""

HALF = 0.02
"""Seconds from the first packet of a frame to its second."""


@dataclass(eq=False)
class Session:
    """Frames are made by :meth:`step`, in a thread of the server's; the rest runs in its loop."""

    name: str
    live: Live
    recorder: Recorder | None = None
    draws: bool = False
    """Whether pictures are made here."""
    peers: set[Peer] = field(default_factory=set)
    clients: dict[object, Callable[[str], None]] = field(default_factory=dict)
    """Everybody who is connected, and what sends them a message."""
    due: float = 0.0
    """When the next frame is to be made, on time.monotonic()."""
    _voice: OpusVoice = field(default_factory=OpusVoice)
    _unspoken: deque[av.Packet] = field(default_factory=deque)
    _foreseen: deque[LiveMotion] = field(default_factory=deque)
    """Motion that was sent ahead, from the next frame on."""
    _floor: object = None
    _floor_until: float = 0.0
    _texts: int = 0
    """Counts interruptions and texts, so that a text that was interrupted while it was made is not spoken."""

    def step(self, begin: float | None = None) -> list[Given]:
        """The frames that are now due, encoded; and recorded.

        Args:
            begin: when the first frame of all is, on time.monotonic(); None is now.
        """
        frames = self.live.poll(None if self.due else begin)
        if frames:
            self.due = frames[-1].time + FRAME
        if self.recorder is not None:
            for frame in frames:
                self.recorder.put(frame)
        return [given(frame, self._voice, self._motion_of(frame, frame is frames[-1])) for frame in frames]

    def _motion_of(self, frame: LiveFrame, newest: bool) -> bytes:
        """What of a frame's motion was not sent before; at rest with the frames to come, should nothing be said."""
        if self._foreseen and frame.motion.same(self._foreseen.popleft()):
            return b""
        ahead = self.live.ahead(AHEAD) if newest else []
        self._foreseen = deque(ahead)
        later = (motion.packed(frame.index + k, ahead=True) for k, motion in enumerate(ahead, 1))
        return b"".join((frame.packed(), *later))

    def deliver(self, one: Given, loop: asyncio.AbstractEventLoop) -> None:
        """Send a frame to everybody: motion first, its sound in two packets, and what happened with it."""
        for peer in self.peers:
            peer.give(one)
        for text in one.events:
            self.tell(text)
        # Where frames come late, two at once, the sound keeps its order.
        self._speak()
        self._unspoken.extend(one.packets)
        self._speak(1)
        if self._unspoken:
            loop.call_later(HALF, self._speak)

    def _speak(self, most: int = 2) -> None:
        """Send packets that wait."""
        for _ in range(min(most, len(self._unspoken))):
            packet = self._unspoken.popleft()
            for peer in self.peers:
                peer.speak(packet)

    def tell(self, text: str) -> None:
        """Send a message to everybody."""
        for tell in list(self.clients.values()):
            tell(text)

    def push(self, source: object, sound: Int16[np.ndarray, "s"] | bytes, rate: int) -> None:
        """Let the person say a piece of sound.

        Raises:
            UserError: another source is speaking, the sound is none, or too much of it waits already.
        """
        self._take_floor(source)
        self.live.push(sound, rate)

    @property
    def speaking(self) -> bool:
        """Whether a source has its turn."""
        return self._floor is not None

    def _take_floor(self, source: object) -> None:
        now = time.monotonic()
        if self._floor not in (None, source) and now < self._floor_until:
            do = "wait until it has ended, or interrupt it"
            raise UserError("one voice at a time in a session", "another source is speaking", do)
        self._floor, self._floor_until = source, now + FLOOR_KEPT

    def flush(self, source: object) -> None:
        """The source has said all of its segment."""
        if self._floor is source:
            self._floor = None
            self.live.flush()

    def clear(self) -> None:
        """Interrupt, whoever speaks."""
        self._texts += 1
        self._floor = None
        self.live.clear()

    def listen(self, sound: Int16[np.ndarray, "s"], rate: int) -> None:
        """Let the person hear somebody else."""
        self.live.listen(sound, rate)

    async def say(self, source: object, text: str, voice: Voice) -> None:
        """Let the person say a text; a newer one, or an interruption, takes its place while it is made.

        Raises:
            UserError: no engine says it.
        """
        self._texts += 1
        number = self._texts
        sound, rate = await asyncio.to_thread(spoken, text, voice)
        if number == self._texts:
            self.push(source, sound, rate)
            self.flush(source)

    def leave(self, client: object) -> None:
        """Forget a client; what it was saying comes to its end."""
        self.clients.pop(client, None)
        self.flush(client)

    def close(self) -> None:
        """Free what the session held; called in the thread that makes its frames."""
        with contextlib.suppress(UserError):
            self.live.close()
        if self.recorder is not None:
            self.recorder.end()


def spoken(text: str, voice: Voice) -> tuple[Int16[np.ndarray, "s"], int]:
    """A text as sound, and its rate.

    Raises:
        UserError: no engine says it.
    """
    import soundfile

    with scratch_folder() as folder:
        path = folder / "said.wav"
        say_text(text, path, voice.engine, voice.voice, voice.language)
        sound, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return np.ascontiguousarray(sound[:, 0]), rate
