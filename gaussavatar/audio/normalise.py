"""Normalisation of any feature by one recording's statistics, for a whole file and for sound that is still coming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

CLIP = 3.5
"""Normalised values are cut at this many standard deviations."""


@dataclass(frozen=True)
class AudioStatistics:
    """What one recording's features are normalised with, per column.

    Raw values under ``floor`` are raised to it, then ``mean`` is taken off and divided by ``std``. ``quiet`` is the
    raw value that stands for silence. What counts as the mean of a recording is for each feature to say.
    """

    mean: Float32[np.ndarray, "d"]
    std: Float32[np.ndarray, "d"]
    floor: Float32[np.ndarray, "d"]
    quiet: Float32[np.ndarray, "d"]

    @property
    def silence(self) -> Float32[np.ndarray, "d"]:
        """The normalised value of silence."""
        return np.clip((self.quiet - self.mean) / self.std, -CLIP, CLIP)

    def towards(self, other: AudioStatistics, share: float) -> AudioStatistics:
        """``share`` of the way from these statistics to others."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("mean", "std", "floor", "quiet"))
        return AudioStatistics(*(((1.0 - share) * a + share * b).astype(np.float32) for a, b in pairs))


def side_by_side(*parts: AudioStatistics) -> AudioStatistics:
    """The statistics of columns side by side."""
    names = ("mean", "std", "floor", "quiet")
    return AudioStatistics(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def of_columns(whole: AudioStatistics, columns: slice | Int[np.ndarray, "k"]) -> AudioStatistics:
    """The statistics of some of the columns."""
    return AudioStatistics(*(getattr(whole, name)[columns] for name in ("mean", "std", "floor", "quiet")))


def normalise(raw: Float[np.ndarray, "t d"], statistics: AudioStatistics) -> Float32[np.ndarray, "t d"]:
    """Mean and variance normalisation of every column."""
    s = statistics
    return np.clip((np.maximum(raw, s.floor) - s.mean) / s.std, -CLIP, CLIP).astype(np.float32)


class RunningNormaliser:
    """Normalisation of features that arrive in pieces; the result does not depend on the pieces.

    The statistics are those of the last ``memory_seconds`` heard so far, taken anew
    after 0.1, 0.2, 0.4 s and then every 0.5 s, and blended in over the half second that
    follows. Warm-up: while less than about two seconds were heard, what the feature expects of speech
    (its ``statistics`` of a short piece) or, where given, ``initial`` (the
    statistics of an earlier session on the same microphone) still carries weight.

    Args:
        statistics_of: the statistics of a stretch of raw features.
        rate: feature frames per second.
        initial: statistics to start with.
        memory_seconds: how far back the statistics reach.
    """

    def __init__(
        self,
        statistics_of: Callable[[np.ndarray], AudioStatistics],
        rate: int,
        initial: AudioStatistics | None = None,
        memory_seconds: float = 30.0,
    ) -> None:
        self._statistics_of = statistics_of
        self._refresh_every = rate // 2
        self._early = (rate // 10, rate // 5, 2 * rate // 5)
        self._warm = 2.0 * rate
        self._memory = int(memory_seconds * rate)
        self._heard: list[np.ndarray] = []
        self._n = 0
        self._initial = initial
        self._now = initial
        self._next = initial

    @property
    def statistics(self) -> AudioStatistics | None:
        """The newest statistics; None before anything was heard."""
        return self._next

    def push(self, raw: Float32[np.ndarray, "t d"]) -> Float32[np.ndarray, "t d"]:
        """Take raw feature frames and return them normalised, same length."""
        out = np.empty_like(raw, dtype=np.float32)
        start = 0
        while start < len(raw):
            stop = min(len(raw), start + self._until_refresh())
            out[start:stop] = self._push_between(np.asarray(raw[start:stop], np.float32))
            start = stop
        return out

    def _until_refresh(self) -> int:
        if self._n == 0:
            return 1
        for early in self._early:
            if self._n < early:
                return early - self._n
        return self._refresh_every - self._n % self._refresh_every

    def _push_between(self, raw: np.ndarray) -> np.ndarray:
        first, every = self._n, self._refresh_every
        self._heard.append(raw)
        self._n += len(raw)
        if first == 0 and self._next is None:
            self._now = self._next = self._statistics_of(raw)
        assert self._now is not None and self._next is not None
        progress = np.minimum(1.0, (np.arange(first, self._n) % every + 1) / every)[:, None]
        if self._n <= every:
            progress = np.ones((len(raw), 1))
        old, new = self._now, self._next
        mean, std, floor = (
            (1.0 - progress) * a + progress * b
            for a, b in ((old.mean, new.mean), (old.std, new.std), (old.floor, new.floor))
        )
        out = np.clip((np.maximum(raw, floor) - mean) / std, -CLIP, CLIP)
        if self._n in self._early or self._n % every == 0:
            self._refresh()
        return out.astype(np.float32)

    def _refresh(self) -> None:
        heard = np.concatenate(self._heard)[-self._memory :]
        self._heard = [heard]
        fresh = self._statistics_of(heard)
        if self._initial is not None:
            fresh = self._initial.towards(fresh, min(1.0, self._n / self._warm))
        self._now, self._next = self._next, fresh


class StatisticsSoFar:
    """Statistics of what was heard of a voice so far, to normalise with what is known by the time that it is needed.

    Unlike :class:`RunningNormaliser` it does not normalise rows as they come: whoever needs a stretch again, or late,
    normalises it by everything that was heard until then, which for the first words is much better
    (docs/live.md). Statistics are taken anew when a twelfth more was heard than at the last time, at the latest after
    two seconds.

    Args:
        statistics_of: the statistics of a stretch of raw features.
        activity: how much of each row of a stretch is speech.
        rate: feature frames per second.
        known: statistics of a voice from before, which fade as the voice itself is heard.
        memory_seconds: how far back it reaches.
        foreseen: of what was heard and its statistics, those of all that the voice will say; the same when None.
        recognised: how far what was heard is by the known voice, of both statistics and the seconds of speech; it
            surely is when None.
    """

    TRUST = 4.0
    """Seconds of speech after which what is heard counts as much as what was known before."""

    def __init__(
        self,
        statistics_of: Callable[[np.ndarray], AudioStatistics],
        activity: Callable[[np.ndarray], np.ndarray],
        rate: int,
        known: AudioStatistics | None = None,
        memory_seconds: float = 30.0,
        foreseen: Callable[[np.ndarray, AudioStatistics], AudioStatistics] | None = None,
        recognised: Callable[[AudioStatistics, AudioStatistics, float], float] | None = None,
    ) -> None:
        self._statistics_of, self._activity, self._rate, self._known = statistics_of, activity, rate, known
        self._foreseen, self._recognised = foreseen, recognised
        self._memory = int(memory_seconds * rate)
        self._heard: list[np.ndarray] = []
        self._n = self._next = 0
        self._spoken = 0.0
        self._now = known if recognised is None else None

    @property
    def seconds(self) -> float:
        """How much was heard."""
        return self._n / self._rate

    @property
    def statistics(self) -> AudioStatistics | None:
        """The newest; None where nothing was heard or known."""
        return self._now

    def hear(self, raw: Float32[np.ndarray, "t d"]) -> None:
        """Take raw feature frames."""
        if not len(raw):
            return
        self._heard.append(raw)
        self._n += len(raw)
        if self._n < self._next:
            return
        heard = np.concatenate(self._heard)[-self._memory :]
        self._heard = [heard]
        fresh = self._statistics_of(heard)
        self._now = fresh if self._foreseen is None else self._foreseen(heard, fresh)
        if self._known is not None:
            self._spoken = max(self._spoken, float(self._activity(heard).sum()) / self._rate)
            share = self._spoken**2 / (self._spoken**2 + self.TRUST**2)
            sure = 1.0 if self._recognised is None else self._recognised(self._known, fresh, self._spoken)
            self._now = self._now.towards(self._known.towards(fresh, share), sure)
        self._next = self._n + min(2 * self._rate, max(self._rate // 20, self._n // 12))
