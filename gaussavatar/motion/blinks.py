"""Blinks: found in a motion, taken out of it, and made anew with the person's own timing and shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

SHUT = 0.5
"""A lid further closed than this is in a blink."""
BEFORE, AFTER = 0.16, 0.48
"""Seconds of a blink's shape before and after the moment at which the lids pass :data:`SHUT`."""
REFRACTORY = 0.3
"""Least seconds between two blinks."""
_FEW = 4
"""Blinks below which a clip tells nothing of a person's own."""
_USUAL_LOG_INTERVAL, _USUAL_SPREAD = float(np.log(2.6)), 0.6
"""Of people in conversation (Bentivoglio et al. 1997: a mean of 26 blinks per minute); natural logarithm of seconds."""
_USUAL_SHAPE = (0.0, 0.0, 0.0, 0.15, 0.95, 0.9, 0.4, 0.22, 0.12, 0.06, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""A blink at 25 frames per second, the fifth frame being the first that is shut."""


@dataclass(frozen=True)
class BlinkHabit:
    """How a person blinks: the logarithm of the seconds between blinks, and recorded shapes of them."""

    log_interval: float
    spread: float
    shapes: Float32[np.ndarray, "k t c"]
    """What each blink adds to the open lids, frame by frame and channel by channel."""
    fps: float
    learnt: bool
    """False where the clip shows too few blinks, and these are people's usual ones."""


def blink_starts(lids: Float[np.ndarray, "n c"], fps: float) -> Int[np.ndarray, "k"]:
    """Frames at which the lids pass :data:`SHUT`, at least :data:`REFRACTORY` apart."""
    shut = lids.max(axis=1) > SHUT
    starts = np.flatnonzero(shut[1:] & ~shut[:-1]) + 1
    kept: list[int] = []
    for start in starts.tolist():
        if not kept or start - kept[-1] >= REFRACTORY * fps:
            kept.append(start)
    return np.array(kept, int)


def without_blinks(lids: Float32[np.ndarray, "n c"], fps: float) -> Float32[np.ndarray, "n c"]:
    """The lids between the blinks, carried through them along a line.

    A blink lasts from where the lids leave their level of a second around it to where they are back near it.
    """
    n = len(lids)
    most = lids.max(axis=1)
    level = _running_median(most, max(3, round(fps) | 1))
    # Long closures lift the median itself; the person's calm level is its floor.
    level = np.minimum(level, np.median(most) + 0.15)
    shut = most > np.maximum(level + 0.12, 0.3)
    core = np.flatnonzero(most > SHUT)
    if not len(core):
        return lids
    reach = round(0.6 * fps)
    drop = np.zeros(n, bool)
    for frame in core.tolist():
        first, last = frame, frame
        while first > 0 and frame - first < reach and shut[first - 1]:
            first -= 1
        while last < n - 1 and last - frame < reach and shut[last + 1]:
            last += 1
        drop[max(first - 1, 0) : last + 2] = True
    known = np.flatnonzero(~drop)
    if not len(known):
        return np.repeat(np.minimum(lids, 0.1).min(axis=0, keepdims=True), n, axis=0)
    frames = np.arange(n)
    return np.stack([np.interp(frames, known, column[known]) for column in lids.T], axis=1).astype(np.float32)


def learn_blinks(lids: Float32[np.ndarray, "n c"], fps: float) -> BlinkHabit:
    """A person's habit from a stretch of their lids (channels of left and right)."""
    starts = blink_starts(lids, fps)
    before, after = round(BEFORE * fps), round(AFTER * fps)
    added = np.clip(lids - without_blinks(lids, fps), 0, None)
    whole = [start for start in starts.tolist() if start >= before and start + after <= len(lids)]
    apart = [
        start for start in whole if not ((starts != start) & (starts > start - before) & (starts < start + after)).any()
    ]
    if len(apart) < _FEW:
        usual = np.array(_USUAL_SHAPE)
        moments = (np.arange(before + after) - before) / fps * 25 + 4
        shape = np.interp(moments, np.arange(len(usual)), usual)
        shapes = np.repeat(shape[None, :, None], lids.shape[1], axis=2).astype(np.float32)
        return BlinkHabit(_USUAL_LOG_INTERVAL, _USUAL_SPREAD, shapes, fps, learnt=False)
    shapes = np.stack([added[start - before : start + after] for start in apart])
    fade = np.ones(before + after, np.float32)
    fade[-max(1, after // 3) :] = np.linspace(1, 0, max(1, after // 3))
    intervals = np.log(np.maximum(np.diff(starts) / fps, REFRACTORY))
    return BlinkHabit(
        float(intervals.mean()), float(max(intervals.std(), 0.2)), shapes * fade[None, :, None], fps, learnt=True
    )


def generated_blinks(habit: BlinkHabit, n: int, fps: float, rng: np.random.Generator) -> Float32[np.ndarray, "n c"]:
    """What new blinks add to open lids over ``n`` frames: log-normal intervals, one of the recorded shapes each."""
    values = np.zeros((n, habit.shapes.shape[2]), np.float32)
    # The first falls somewhere within an interval, as if the motion began in the middle of life.
    moment = rng.uniform(0, 1) * interval(habit, rng)
    while moment < n / fps:
        add_blink(values, habit, int(rng.integers(len(habit.shapes))), moment, fps)
        moment += interval(habit, rng)
    return values


def add_blink(values: Float32[np.ndarray, "n c"], habit: BlinkHabit, shape: int, moment: float, fps: float) -> None:
    """Put one of the recorded shapes where its lids pass :data:`SHUT` at a moment (seconds from the first frame)."""
    first = max(0, int((moment - BEFORE) * fps))
    last = min(len(values), int((moment + AFTER) * fps) + 2)
    if last <= first:
        return
    recorded = habit.shapes[shape]
    places = (np.arange(first, last) / fps - moment) * habit.fps + round(BEFORE * habit.fps)
    for channel in range(values.shape[1]):
        curve = np.interp(places, np.arange(len(recorded)), recorded[:, channel], left=0.0, right=0.0)
        values[first:last, channel] = np.maximum(values[first:last, channel], curve)


def interval(habit: BlinkHabit, rng: np.random.Generator) -> float:
    """Seconds to the next blink."""
    return max(REFRACTORY, float(np.exp(rng.normal(habit.log_interval, habit.spread))))


def _running_median(values: Float[np.ndarray, "n"], width: int) -> Float[np.ndarray, "n"]:
    half = width // 2
    padded = np.pad(values, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
