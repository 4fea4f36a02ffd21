"""A head that is never quite still: noise with the spectrum of the person's own, and the torso that goes with it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Int8
from numpy.lib.stride_tricks import sliding_window_view
from scipy.spatial.distance import cdist

BLOCK = 8.0
"""Seconds of recorded motion whose spectrum each piece of new motion takes."""
SHORTEST = 8
"""Frames of a block below which nothing moves."""
STEP = 2
"""Most frames of the filmed track that the torso passes per frame."""
_STEP_COST = 4e-7
"""What a frame of torso that runs faster than it was filmed costs, in square metres at the neck."""
_CUT_COST = 1e-2
"""What passing a cut of the clip costs."""
_MISSED_COST = 8e-3
"""What ending elsewhere than at the wished-for place costs: less than a cut, which jumps as well."""
_AT_ONCE = 64
"""Frames whose distances to all of the track are there at once."""
_JUMP = 0.006
"""Metres at the neck (three points together) within a frame that only a cut makes."""


def surrogate(
    recorded: Float[np.ndarray, "t k"], n: int, rng: np.random.Generator, block: int
) -> Float[np.ndarray, "n k"]:
    """New noise that moves as recorded channels do: blocks of them with new phases, the same for all channels.

    Common phases keep how the channels go together (Prichard and Theiler 1994, Phys. Rev. Lett. 73, 951). Blocks
    overlap by half under windows whose squares add up to one, so that the amplitude is even.

    Args:
        recorded: deviations from a mean.
        n: frames wanted.
        rng: where chance comes from.
        block: frames of a block.
    """
    block = even_block(recorded, block)
    if block < SHORTEST:
        return np.zeros((n, recorded.shape[1]))
    half = block // 2
    total = np.zeros((n + 2 * block, recorded.shape[1]))
    for start in range(0, n + half, half):
        total[start : start + block] += surrogate_block(recorded, block, rng)
    return total[half : half + n]


def even_block(recorded: Float[np.ndarray, "t k"], block: int) -> int:
    """An even number of frames, no more than are recorded."""
    return min(block, len(recorded)) // 2 * 2


def surrogate_block(
    recorded: Float[np.ndarray, "t k"], block: int, rng: np.random.Generator
) -> Float[np.ndarray, "block k"]:
    """One block of new noise under its window; each overlaps the one before by half. See :func:`surrogate`."""
    window = np.sin(np.pi * (np.arange(block) + 0.5) / block)[:, None]
    first = int(rng.integers(len(recorded) - block + 1))
    piece = recorded[first : first + block]
    # Ends that differ would be heard as noise in every frequency: a line through them is taken off.
    line = piece[0] + (piece[-1] - piece[0]) * np.linspace(0, 1, block)[:, None]
    spectrum = np.fft.rfft(piece - line, axis=0)
    phases = np.exp(2j * np.pi * rng.uniform(size=(len(spectrum), 1)))
    phases[0] = 1
    noise = np.fft.irfft(spectrum * phases, block, axis=0)
    return window * (noise - noise.mean(axis=0))


def matching_places(
    filmed: Float[np.ndarray, "t p"],
    wanted: Float[np.ndarray, "n p"],
    start: int | None = None,
    end: int | None = None,
) -> Int[np.ndarray, "n"]:
    """The frames of the filmed track whose torso suits each pose best, without a jump: the cheapest path.

    Dynamic programming over the track; from frame to frame the place changes by at most :data:`STEP`. Where the
    filmed head jumps, a clip was cut, and the path crosses only where it must.

    Args:
        filmed: the neck's points in every filmed frame, metres.
        wanted: the neck's points in every new frame.
        start: the place of the first frame; None leaves it to the cost.
        end: the place of the last frame, where it can be reached in time and on this side of a cut.
    """
    t = len(filmed)
    back = np.empty((len(wanted), t), np.int8)
    fees = _step_fees(filmed)
    # A row more than frames, for the costs before them; beyond both ends of the track lies what cannot be reached.
    costs = np.full((_AT_ONCE + 1, t + 2 * STEP), np.inf)
    # The place before a place was ``place - step``.
    before = sliding_window_view(costs, t, axis=1)[:, ::-1]
    inner, ways = costs[:, STEP : STEP + t], np.empty_like(fees)
    cost = inner[0]
    for first in range(0, len(wanted), _AT_ONCE):
        apart = cdist(wanted[first : first + _AT_ONCE], filmed, "sqeuclidean")
        inner[0] = inner[-1]
        for row, distances in enumerate(apart):
            if first + row:
                np.add(before[row], fees, out=ways)
                np.add(np.minimum.reduce(ways), distances, out=inner[row + 1])
            else:
                inner[1] = distances if start is None else np.where(np.arange(t) == start, distances, np.inf)
        back[first : first + _AT_ONCE] = _cheapest(before[: len(apart)], fees)
        cost = inner[len(apart)]
    places = np.empty(len(wanted), int)
    missed = 0.0 if end is None else np.where(np.arange(t) == end, 0.0, _MISSED_COST)
    places[-1] = int((cost + missed).argmin())
    for frame in range(len(wanted) - 1, 0, -1):
        places[frame - 1] = places[frame] - back[frame, places[frame]]
    return places


def _step_fees(filmed: Float[np.ndarray, "t p"]) -> Float[np.ndarray, "s t"]:
    """What each step from -STEP to STEP costs to each place, apart from where it leads."""
    steps, places = np.arange(-STEP, STEP + 1), np.arange(len(filmed))
    # How many cuts lie before each place tells which steps cross one.
    before = np.concatenate([[0], np.cumsum(cuts(filmed))])
    crossed = before - before[np.clip(places - steps[:, None], 0, len(filmed) - 1)]
    return (_STEP_COST * np.maximum(np.abs(steps) - 1, 0))[:, None] + _CUT_COST * np.abs(crossed)


def _cheapest(before: Float[np.ndarray, "n s t"], fees: Float[np.ndarray, "s t"]) -> Int8[np.ndarray, "n t"]:
    """The step by which each place of each frame is reached at the least cost; of equal ones the first."""
    cost = np.full(before[:, 0].shape, np.inf)
    taken = np.zeros(cost.shape, np.int8)
    for row, fee in enumerate(fees):
        way = before[:, row] + fee
        np.copyto(taken, row - STEP, where=way < cost)
        np.minimum(cost, way, out=cost)
    return taken


def cuts(filmed: Float[np.ndarray, "t p"]) -> Bool[np.ndarray, "s"]:
    """Between which frames of a filmed track the head jumps, which heads do not: the clip was cut there."""
    steps = np.linalg.norm(np.diff(filmed, axis=0), axis=1)
    usual = float(np.percentile(steps, 90)) if len(steps) else 0.0
    return (steps > _JUMP) & (steps > 5 * usual)


def without_jumps(values: Float[np.ndarray, "t k"], jumps: Bool[np.ndarray, "s"]) -> Float[np.ndarray, "t k"]:
    """The same motion as if nothing had happened at some steps between frames."""
    steps = np.where(jumps[:, None], 0.0, np.diff(values, axis=0))
    return values[0] + np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(steps, axis=0)])


def calmed(values: Float[np.ndarray, "t k"], fps: float) -> Float[np.ndarray, "t k"]:
    """The same motion without the tracker's frame-to-frame noise."""
    from scipy.signal import savgol_filter

    width = max(5, round(fps / 5) | 1)
    return savgol_filter(values, width, 2, axis=0) if len(values) >= width else values
