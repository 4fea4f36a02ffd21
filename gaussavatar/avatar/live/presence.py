"""A person who is there: blinks, sway, brows and glances without end, made as they are needed.

What :mod:`gaussavatar.avatar.idle` makes for a stretch of known length, second by second. Each part has its own stream
of chance, so that the same seed gives the same person, whatever else happens.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.spatial.transform import Rotation

from gaussavatar.avatar.controlled import BLINKS, GAZE, Person, calmest
from gaussavatar.avatar.idle import BLEND_HEAD, CALM
from gaussavatar.avatar.live.records import FPS
from gaussavatar.motion.blinks import AFTER, BEFORE, add_blink, interval, learn_blinks, without_blinks
from gaussavatar.motion.poses import NECK, deviated, deviations, mean_pose, neck_points
from gaussavatar.motion.sway import (
    BLOCK,
    SHORTEST,
    STEP,
    calmed,
    cuts,
    even_block,
    matching_places,
    surrogate_block,
    without_jumps,
)

SPAN = FPS
"""Frames that are made at a time."""
AHEAD = 2 * FPS
"""Frames beyond them that the torso's way is planned for."""
STILL_UPPER = 0.35
"""How much of the brows' recorded movement goes on while nothing is said."""
_GLANCE_LOG, _GLANCE_SPREAD = float(np.log(1.3)), 0.6
"""Seconds between glances: natural logarithm of their median, and its deviation."""
_BACK, _BACK_LISTENING = 0.55, 0.85
"""Share of glances that go back to where the person mostly looks."""
_NOD_SECONDS = 0.6


Shown = tuple[Float32[np.ndarray, "u"], Float32[np.ndarray, "4 4"], int]
"""Upper face, pose of the head, and place of the torso."""


class EndlessNoise:
    """Noise with the spectrum of recorded channels, without end; see :func:`gaussavatar.motion.sway.surrogate`."""

    def __init__(self, recorded: Float[np.ndarray, "t k"], rng: np.random.Generator, block: int) -> None:
        self._recorded = recorded - recorded.mean(axis=0)
        self._rng, self._block = rng, even_block(recorded, block)
        self._rows = np.zeros((0, recorded.shape[1]))
        self._tail: np.ndarray | None = None

    def ahead(self, count: int) -> Float[np.ndarray, "count k"]:
        """The next rows, which stay."""
        while len(self._rows) < count:
            self._rows = np.concatenate([self._rows, self._more()])
        return self._rows[:count]

    def drop(self, count: int) -> None:
        """Forget the next rows."""
        self._rows = self._rows[count:]

    def _more(self) -> np.ndarray:
        if self._block < SHORTEST:
            return np.zeros((SPAN, self._recorded.shape[1]))
        half = self._block // 2
        if self._tail is None:
            self._tail = surrogate_block(self._recorded, self._block, self._rng)[half:]
        made = surrogate_block(self._recorded, self._block, self._rng)
        rows, self._tail = self._tail + made[:half], made[half:]
        return rows


class Presence:
    """Upper face, head and torso of somebody who is there, frame by frame.

    Args:
        person: of the avatar.
        seed: of all chance.
    """

    def __init__(self, person: Person, seed: int) -> None:
        filmed = person.filmed
        self._rest = person.resting_upper.astype(float)
        self._mean = mean_pose(filmed.T_camera_world)
        self._necks = neck_points(filmed.T_camera_world)
        self._lids, self._eyes = person.channels(BLINKS), person.channels(GAZE)
        self._rng = [np.random.default_rng([seed, part]) for part in range(4)]
        self._low, self._high = filmed.upper.min(axis=0), filmed.upper.max(axis=0)
        self._noise = EndlessNoise(_recorded(person, self._mean, [*self._lids, *self._eyes]), self._rng[1],
                                   round(BLOCK * filmed.fps))  # fmt: skip
        self._habit = learn_blinks(filmed.upper[:, self._lids], filmed.fps) if self._lids else None
        self._blinks: list[tuple[float, int]] = []
        self._gaze = np.zeros(2)
        self._gaze_shown = np.zeros(2)
        self._look_for = 0
        self._spread = filmed.upper[:, self._eyes].std(axis=0) if len(self._eyes) == 2 else np.zeros(2)
        self._place = calmest(filmed)
        self._lively = CALM
        self._nods: list[tuple[int, float]] = []
        self._nod_size = float(np.clip(2.5 * deviations(filmed.T_camera_world, self._mean)[:, 0].std(), 0.035, 0.09))
        self._foreseen: deque[Shown] = deque()
        self._at = SPAN
        self._lid_rows = np.zeros((SPAN, len(self._lids)), np.float32)
        self._places = np.full(SPAN, self._place)
        self._moved = np.zeros((SPAN, 6 + len(self._rest)))
        self._poses = np.tile(np.eye(4, dtype=np.float32), (SPAN, 1, 1))
        self._uppers = np.zeros((SPAN, len(self._rest)), np.float32)
        self._made_for = self._lively

    def nod(self, after: float = 0.0, size: float = 1.0) -> None:
        """Nod once, ``after`` some seconds; ``size`` 1 is a small nod of this person's."""
        self._nods.append((-round(after * FPS), size * self._nod_size))

    @property
    def nodding(self) -> bool:
        """Whether a nod goes on, or is to come."""
        return bool(self._nods)

    def frame(self, speaking: bool, listening: bool) -> Shown:
        """The next frame's upper face, pose of the head, and place of the torso."""
        return self._foreseen.popleft() if self._foreseen else self._next(speaking, listening)

    def ahead(self, count: int, listening: bool) -> list[Shown]:
        """The next frames, which will be given out as they are; nods and glances that are asked for come after them."""
        while len(self._foreseen) < count:
            self._foreseen.append(self._next(False, listening))
        return list(self._foreseen)[:count]

    def _next(self, speaking: bool, listening: bool) -> Shown:
        if self._at == SPAN:
            self._next_span()
        at = self._at
        self._at += 1
        # Half a cosine would do as well; a step that is a share of the way left starts at once and never jumps.
        wanted = 1.0 if speaking else CALM
        if self._lively != wanted:
            step = (1.0 - CALM) / (BLEND_HEAD * FPS)
            self._lively = (
                min(wanted, self._lively + step) if self._lively < wanted else max(wanted, self._lively - step)
            )
        if self._lively != self._made_for:
            self._make(slice(at, SPAN if self._lively == wanted else at + 1))
        upper, pose = self._uppers[at], self._poses[at]
        if len(self._eyes) == 2:
            upper[self._eyes] = self._rest[self._eyes] + self._looking(listening)
        if self._nods:
            pose = deviated(self._mean, self._with_nods(self._lively * self._moved[at, :6])[None])[0]
        return upper, pose, int(self._places[at])

    def _next_span(self) -> None:
        noise = self._noise.ahead(SPAN + AHEAD)
        poses = deviated(self._mean, self._lively * noise[:, :6])
        self._places = self._way(neck_points(poses))[:SPAN]
        self._place = int(self._places[-1])
        self._moved = noise[:SPAN].copy()
        self._noise.drop(SPAN)
        self._lid_rows = self._blinking()
        self._at = 0
        self._poses, self._uppers = poses[:SPAN], np.empty((SPAN, len(self._rest)), np.float32)
        self._make(slice(0, SPAN))

    def _make(self, rows: slice) -> None:
        """Faces and poses of a span's frames as lively as the person is now; all that are left where that stays."""
        moved, lively = self._moved[rows], self._lively
        self._poses[rows] = deviated(self._mean, lively * moved[:, :6])
        share = STILL_UPPER + (1.0 - STILL_UPPER) * (lively - CALM) / (1.0 - CALM)
        uppers = np.clip(self._rest + share * moved[:, 6:], self._low, self._high)
        if self._lids:
            uppers[:, self._lids] = np.maximum(self._rest[self._lids], self._lid_rows[rows])
        self._uppers[rows] = uppers
        self._made_for = lively

    def _way(self, wanted: Float[np.ndarray, "n p"]) -> Int[np.ndarray, "n"]:
        """Places for the frames to come, from the one before them on, among those that can be reached."""
        # The first of the path is the frame that was given out last.
        reach = STEP * (len(wanted) + 1)
        first, last = max(0, self._place - reach), min(len(self._necks), self._place + reach + 1)
        path = matching_places(self._necks[first:last], np.concatenate([wanted[:1], wanted]), start=self._place - first)
        return path[1:] + first

    def _blinking(self) -> Float32[np.ndarray, "n c"]:
        rows = np.zeros((SPAN, len(self._lids)), np.float32)
        if self._habit is None:
            return rows
        rng, habit = self._rng[0], self._habit
        if not self._blinks:
            self._blinks.append((rng.uniform(0, 1) * interval(habit, rng), int(rng.integers(len(habit.shapes)))))
        while self._blinks[-1][0] < SPAN / FPS + BEFORE:
            self._blinks.append((self._blinks[-1][0] + interval(habit, rng), int(rng.integers(len(habit.shapes)))))
        for moment, shape in self._blinks:
            add_blink(rows, habit, shape, moment, FPS)
        # The last one stays, for the next follows it.
        later = [(moment - SPAN / FPS, shape) for moment, shape in self._blinks]
        self._blinks = [one for one in later[:-1] if one[0] > -AFTER - 0.1] + later[-1:]
        return rows

    def _looking(self, listening: bool) -> Float[np.ndarray, "2"]:
        """Glances: the eyes rest, and jump within two frames."""
        rng = self._rng[2]
        if self._look_for <= 0:
            back = rng.uniform() < (_BACK_LISTENING if listening else _BACK)
            aside = rng.normal(size=2) * self._spread
            self._gaze = np.zeros(2) if back else np.clip(aside, -2 * self._spread, 2 * self._spread)
            self._look_for = max(5, round(float(np.exp(rng.normal(_GLANCE_LOG, _GLANCE_SPREAD))) * FPS))
        self._look_for -= 1
        self._gaze_shown = self._gaze_shown + 0.6 * (self._gaze - self._gaze_shown)
        return self._gaze_shown

    def _with_nods(self, moved: Float[np.ndarray, "6"]) -> Float[np.ndarray, "6"]:
        """Nods turn the head about the neck, so that the torso stays where it is."""
        angle, length = 0.0, _NOD_SECONDS * FPS
        for frame, size in self._nods:
            if frame >= 0:
                angle += size * np.sin(np.pi * frame / length) ** 2
        self._nods = [(frame + 1, size) for frame, size in self._nods if frame + 1 < length]
        if angle == 0.0:
            return moved
        turn = Rotation.from_rotvec([angle, 0.0, 0.0])
        pivot = NECK[:2].mean(axis=0)
        pivot[0] = 0.0
        before = Rotation.from_rotvec(moved[:3])
        shift = self._mean[:3, :3] @ before.apply(pivot - turn.apply(pivot))
        return np.concatenate([(before * turn).as_rotvec(), moved[3:] + shift])


def _recorded(person: Person, mean: Float[np.ndarray, "4 4"], apart: list[int]) -> Float[np.ndarray, "t k"]:
    """Head and upper face as filmed, without the tracker's noise; the channels ``apart`` stand still."""
    filmed = person.filmed
    head = without_jumps(deviations(filmed.T_camera_world, mean), cuts(neck_points(filmed.T_camera_world)))
    face = filmed.upper.astype(float).copy()
    lids = person.channels(BLINKS)
    if lids:
        # Where the lids close, brows and cheeks go with them: that belongs to blinks, which are made apart.
        shut = filmed.upper[:, lids] - without_blinks(filmed.upper[:, lids], filmed.fps)
        open_now = np.flatnonzero(shut.max(axis=1) < 0.05)
        if len(open_now):
            frames = np.arange(len(face))
            face = np.stack([np.interp(frames, open_now, column[open_now]) for column in face.T], axis=1)
    face[:, apart] = 0.0
    return calmed(np.concatenate([head, face], axis=1), filmed.fps)
