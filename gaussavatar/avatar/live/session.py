"""A live session: sound is pushed from any thread, frames are taken as they become due."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int16

from gaussavatar.avatar.live.hearing import Hearing
from gaussavatar.avatar.live.listening import Listening
from gaussavatar.avatar.live.painter import Painter
from gaussavatar.avatar.live.presence import Presence
from gaussavatar.avatar.live.records import FPS, FRAME, LiveEvent, LiveFrame, LiveMotion, LiveStats
from gaussavatar.avatar.live.segments import Segment
from gaussavatar.avatar.live.sound import Pcm, as_pcm
from gaussavatar.easing import smoothstep
from gaussavatar.errors import UserError

LONGEST = 600.0
"""Seconds of sound that may wait to be said."""
PATIENCE = 2.0
"""Seconds of frames that are given out at once after nobody asked; the clock is put back by what is beyond."""
PREPARED = 12
"""Frames of speech whose mouths are known before they are due, where the sound is there."""
PREPARED_NEW, AT_ONCE = 75, 2
"""The same while a voice is new, and how many pieces more are heard for it per frame."""
KNOWN = 6.0
"""Seconds after which a voice is no longer new."""
OPENING, CLOSING, BREAKING = 3, 5, 3
"""Frames over which the lips go over from rest to speech, from speech to rest, and to rest after an interruption."""
_LATE_KEPT = 1000


@dataclass(frozen=True)
class Pace:
    """When things happen in a session, seconds.

    Attributes:
        buffer: how far before they are due frames may be given out.
        cushion: sound that has to be there beyond what lips need before speech begins: what evens out how unevenly
            sound comes.
    """

    buffer: float = 0.0
    cushion: float = 0.04


class Live:
    """An avatar that is live. Get one from :meth:`gaussavatar.Avatar.live`.

    ``push``, ``flush``, ``clear`` and ``listen`` may be called from any thread and return at once. Frames are taken by
    one consumer, by :meth:`poll` or by iteration. All of them become known in order: what was pushed before a ``clear``
    is dropped by it, what comes after it is said.

    Args:
        hearing: from sound to mouth codes.
        presence: everything else that moves.
        painter: draws, where pictures are wanted.
        rate: samples per second of the sound that is given out; a multiple of 25.
        pace: see :class:`Pace`.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        hearing: Hearing,
        presence: Presence,
        painter: Painter | None,
        rate: int,
        pace: Pace,
        clock: Callable[[], float],
    ) -> None:
        self._hearing, self._presence, self._painter = hearing, presence, painter
        self._rate, self._pace, self._clock = rate, pace, clock
        self._listening = Listening()
        self._inbox: deque[tuple] = deque()
        self._inbox_seconds = 0.0
        self._counting = threading.Lock()
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._segments: deque[Segment] = deque()
        self._silence = np.zeros(rate // FPS, np.int16)
        self._silence.flags.writeable = False
        self._start: float | None = None
        self._index = 0
        self._numbers = 0
        self._codes = hearing.closed.astype(np.float32)
        self._fade = (np.zeros_like(self._codes), 0, 1)
        self._was_speaking = False
        self._pending: list[LiveEvent] = []
        self._late: deque[float] = deque(maxlen=_LATE_KEPT)
        self._dropped_pictures = self._underruns = 0
        self._spoken = self._dropped = self._stalled = self._waiting = 0.0

    @property
    def rate(self) -> int:
        """Samples per second of the sound that is given out."""
        return self._rate

    @property
    def look_ahead(self) -> float:
        """Seconds of sound after the middle of a frame that its lips need."""
        return self._hearing.look_ahead

    @property
    def latencies(self) -> dict[str, float]:
        """What :attr:`delay` is made of, seconds by stage; the last is the most that it can be."""
        return {
            "half a frame": FRAME / 2,
            "look-ahead of the lips": self.look_ahead,
            "filters of the rates": 0.002,
            "cushion": self._cushion * FRAME,
            "until the next frame": FRAME,
        }

    @property
    def delay(self) -> float:
        """Seconds from when a sample is pushed as it is spoken to when it is heard, where nothing waits; at most."""
        return sum(self.latencies.values())

    @property
    def stats(self) -> LiveStats:
        """What was done so far."""
        late = np.percentile(list(self._late), 95) if self._late else 0.0
        return LiveStats(
            self._index, self._dropped_pictures, 1000.0 * float(late), self._queued, self._spoken, self._dropped,
            self._underruns, self._numbers, self._stalled,
        )  # fmt: skip

    def push(self, pcm16: Pcm, rate: int) -> None:
        """Sound to be said: bytes of 16-bit samples, or an array (t,) or (t, channels) of int16.

        Raises:
            UserError: no such sound, more than :data:`LONGEST` seconds of it waiting, or the session is closed.
        """
        self._open()
        samples, rate = as_pcm(pcm16, rate)
        seconds = len(samples) / rate
        if self._queued + seconds > LONGEST:
            do = "push it as it is needed, or clear what waits"
            raise UserError(f"at most {LONGEST:.0f} s of sound that waits to be said", "more", do)
        with self._counting:
            self._inbox_seconds += seconds
            self._inbox.append(("push", samples, rate))

    def flush(self) -> None:
        """A segment ends here: what was pushed is spoken to its end without waiting for more."""
        self._open()
        self._inbox.append(("flush",))

    def clear(self) -> None:
        """Interruption: what was not given out yet is dropped, and the mouth closes within 120 ms."""
        self._open()
        self._inbox.append(("clear",))

    def listen(self, pcm16: Pcm, rate: int) -> None:
        """The other side's voice, which the avatar listens to; nothing of it is given out.

        Raises:
            UserError: no such sound.
        """
        self._open()
        self._inbox.append(("listen", *as_pcm(pcm16, rate)))

    def poll(self, now: float | None = None) -> list[LiveFrame]:
        """The frames that are due and were not given out yet, without waiting; the clock's time when ``now`` is None.

        Raises:
            UserError: ``now`` is no moment.
        """
        with self._turn:
            if self._closed.is_set():
                return []
            moment = self._clock() if now is None else now
            if not math.isfinite(moment):
                raise UserError("a moment of the session's clock", repr(now), "give seconds")
            self._catch_up(moment)
            frames = []
            while self._due(self._index) <= moment + self._pace.buffer + 1e-9:
                frames.append(self._next_frame(moment))
            return self._painted(frames, moment)

    def ahead(self, count: int) -> list[LiveMotion]:
        """The motion of the next frames, should nothing be said; none where something is, or the lips are on their way.

        Whoever sends frames may send these with the one that is due. Those that come true are :meth:`LiveMotion.same`.
        """
        closed = self._hearing.closed.astype(np.float32, copy=False)
        with self._turn:
            if self._segments or self._was_speaking or not np.array_equal(self._codes, closed):
                return []
            shown = self._presence.ahead(count, self._listening.attentive)
        return [LiveMotion(closed, upper, pose[:3], place) for upper, pose, place in shown]

    def __iter__(self) -> Iterator[LiveFrame]:
        """Frames as they become due, until the session is closed."""
        while not self._closed.is_set():
            yield from self.poll()
            self._closed.wait(self._rest())

    async def __aiter__(self) -> AsyncIterator[LiveFrame]:
        """The same for a program of coroutines; pictures are drawn in another thread."""
        while not self._closed.is_set():
            frames = self.poll() if self._painter is None else await asyncio.to_thread(self.poll)
            for frame in frames:
                yield frame
            await asyncio.sleep(self._rest())

    def close(self) -> None:
        """End the session; iteration ends."""
        self._closed.set()
        with self._turn:
            self._segments.clear()
            self._inbox.clear()
            self._hearing.close()
            if self._painter is not None:
                self._painter.close()

    def __enter__(self) -> Live:
        """The session itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """See :meth:`close`."""
        self.close()

    @property
    def engaged(self) -> bool:
        """Whether there is sound to say or to listen to: the next frame takes longer than one at rest."""
        return bool(self._segments or self._inbox)

    @property
    def working(self) -> bool:
        """Whether a network that takes long is at work on sound that is there."""
        with self._turn:
            return any(segment.working for segment in self._segments)

    @property
    def _cushion(self) -> int:
        return math.ceil(self._pace.cushion * FPS - 1e-9)

    @property
    def _queued(self) -> float:
        return self._inbox_seconds + self._waiting

    def _open(self) -> None:
        if self._closed.is_set():
            raise UserError("a live session that is open", "a closed one", "begin another one with avatar.live()")

    def _due(self, index: int) -> float:
        assert self._start is not None
        return self._start + index / FPS

    def _rest(self) -> float:
        """Seconds until the next frame is due."""
        return 0.0 if self._start is None else max(0.0, self._due(self._index) - self._pace.buffer - self._clock())

    def _catch_up(self, moment: float) -> None:
        if self._start is None:
            self._start = moment
        behind = moment - self._due(self._index)
        if behind > PATIENCE:
            # Nobody asked, or the machine slept: what would have been said then is said now.
            frames = math.floor((behind - FRAME) * FPS)
            self._start += frames * FRAME
            self._stalled += frames * FRAME
            self._pending.append(self._event("late"))

    def _next_frame(self, moment: float) -> LiveFrame:
        self._take_in()
        due = self._due(self._index)
        self._late.append(max(0.0, moment - due))
        wanted, audio, opening = self._said()
        speaking = wanted is not None
        codes = self._way(self._hearing.closed if wanted is None else wanted, speaking, opening)
        for after in self._listening.nods(speaking):
            self._presence.nod(*after)
        upper, pose, place = self._presence.frame(speaking, self._listening.attentive)
        motion = LiveMotion(codes, upper, pose[:3], place)
        events, self._pending = tuple(self._pending), []
        frame = LiveFrame(self._index, due, audio, motion, None, speaking, events)
        self._index += 1
        return frame

    def _take_in(self) -> None:
        """Everything that was asked for so far, in its order."""
        while self._inbox:
            kind, *what = self._inbox.popleft()
            if kind == "push":
                self._put(*what)
            elif kind == "flush" and self._segments:
                self._segments[-1].closed = True
            elif kind == "clear":
                self._drop()
            elif kind == "listen":
                self._listening.push(*what)

    def _put(self, samples: Int16[np.ndarray, "t"], rate: int) -> None:
        if len(samples) and (not self._segments or self._segments[-1].closed):
            self._segments.append(Segment(self._numbers, self._hearing, self._rate))
            self._numbers += 1
        if len(samples):
            self._segments[-1].push(samples, rate)
        with self._counting:
            self._inbox_seconds -= len(samples) / rate
        self._count()

    def _drop(self) -> None:
        for segment in self._segments:
            if segment.given:
                self._pending.append(self._event("end", segment, True))
            self._pending.append(self._event("finished", segment, True))
            self._dropped += segment.seconds - segment.position
        # Also where it rests already because sound ran out: lips that still close do so in the shorter time.
        self._fade = (self._codes - self._hearing.closed, 0, BREAKING)
        self._was_speaking = False
        self._segments.clear()
        self._count()

    def _count(self) -> None:
        self._waiting = sum(segment.seconds - segment.position for segment in self._segments)

    def _event(self, kind: str, segment: Segment | None = None, interrupted: bool = False) -> LiveEvent:
        segment = segment or (self._segments[0] if self._segments else None)
        position, number = (0.0, -1) if segment is None else (segment.position, segment.number)
        return LiveEvent(kind, position, interrupted, number)  # type: ignore[arg-type]

    def _prepare(self) -> None:
        """Hear what is there until enough frames are known; of a new voice more, for it is heard the better."""
        new = self._hearing.voice.seconds < KNOWN
        extra = AT_ONCE if new else 0
        ahead = 0
        for segment in self._segments:
            if segment.in_time:
                return
            while ahead + segment.ahead < PREPARED and segment.advance():
                pass
            while extra and ahead + segment.ahead < PREPARED_NEW and segment.advance():
                extra -= 1
            ahead += segment.ahead
            if ahead >= PREPARED or not segment.heard:
                return

    def _said(self) -> tuple[Float32[np.ndarray, "m"] | None, Int16[np.ndarray, "s"], int]:
        """Codes and sound of this frame; None and silence where nothing is said. And whether a segment begins."""
        self._prepare()
        if not self._segments:
            return None, self._silence, 0
        segment = self._segments[0]
        begins = False
        if not segment.playing:
            if segment.ready < (1 if segment.heard else 1 + self._cushion):
                return None, self._silence, 0
            segment.playing = begins = True
            if segment.given == 0:
                self._pending.append(self._event("start", segment))
        elif not segment.ready:
            segment.playing = False
            self._underruns += 1
            self._pending.append(self._event("late", segment))
            return None, self._silence, 0
        before = segment.position
        codes, audio = segment.take()
        self._spoken += segment.position - before
        if segment.over:
            self._pending += [self._event("end", segment), self._event("finished", segment)]
            self._segments.popleft()
        self._count()
        return codes, audio, OPENING if begins else 0

    def _way(self, wanted: Float32[np.ndarray, "m"], speaking: bool, opening: int) -> Float32[np.ndarray, "m"]:
        """The lips on their way from what was shown to what is wanted: the difference fades out, nothing jumps."""
        if opening:
            self._fade = (self._codes - wanted, 0, opening)
        elif self._was_speaking and not speaking:
            self._fade = (self._codes - wanted, 0, CLOSING)
        offset, step, frames = self._fade
        left = max(0.0, 1.0 - (step + 1) / frames)
        self._fade = (offset, step + 1, frames)
        self._was_speaking = speaking
        self._codes = wanted if left == 0.0 else wanted + offset * smoothstep(left)
        self._codes = self._codes.astype(np.float32, copy=False)
        return self._codes

    def _painted(self, frames: list[LiveFrame], moment: float) -> list[LiveFrame]:
        """With pictures, but for those whose time is over."""
        if self._painter is None:
            return frames
        made = []
        for frame in frames:
            if frame.time + FRAME <= moment + 1e-9 and frame is not frames[-1]:
                self._dropped_pictures += 1
                late = LiveEvent("late", 0.0, False, -1)
                made.append(replace(frame, events=(*frame.events, late)))
            else:
                made.append(replace(frame, image=self._painter.paint(frame.motion)))
        return made
