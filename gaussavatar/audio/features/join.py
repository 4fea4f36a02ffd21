"""Several features heard together, side by side in one frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

from gaussavatar.audio.features.api import AudioFeature, FeatureFacts, Foresees, Recognises
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics, of_columns, side_by_side
from gaussavatar.audio.stream import FeatureStream
from gaussavatar.errors import UserError
from gaussavatar.types import Waveform


def between(raw: Float[np.ndarray, "*n s d"], position: Float[np.ndarray, "t"]) -> Float32[np.ndarray, "*n t d"]:
    """Features at frame numbers that need not be whole, linear between frames and held before and after them."""
    position = np.clip(position, 0, raw.shape[-2] - 1)
    before = np.floor(position).astype(np.int64)
    after = np.minimum(before + 1, raw.shape[-2] - 1)
    share = (position - before)[:, None]
    return ((1.0 - share) * raw[..., before, :] + share * raw[..., after, :]).astype(np.float32)


class JoinedFeature:
    """Features side by side: an :class:`gaussavatar.audio.features.api.AudioFeature` like each of them.

    The first leads: its frames are the frames, its window is what a video frame sees, and it alone tells speech from
    pauses. Each part normalises its own columns; one of another rate is interpolated. One that wants to be seen less
    far ahead than the first one's window reaches stands later in the frames by the difference.
    """

    def __init__(self, parts: Sequence[AudioFeature]) -> None:
        self._parts = tuple(parts)
        facts = [part.facts for part in self._parts]
        edges = np.cumsum([0, *(one.dimension for one in facts)])
        self._columns = [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        self._lead = facts[0].window
        # Between two frames of a slower feature, the second is waited for.
        waits = [0.0 if one.window.rate == self._lead.rate else 1000.0 / one.window.rate for one in facts]
        spare = [max(0.0, self._lead.reach_ms - one.window.reach_ms) for one in facts]
        self._lags = [int(ms * self._lead.rate / 1000.0) for ms in spare]
        waits = [wait - 1000.0 * lag / self._lead.rate for wait, lag in zip(waits, self._lags, strict=True)]
        self._facts = FeatureFacts(
            names=tuple(name for one in facts for name in one.names),
            dimension=int(edges[-1]),
            window=self._lead,
            look_ahead_ms=max(one.look_ahead_ms + wait for one, wait in zip(facts, waits, strict=True)),
            streamable=all(one.streamable for one in facts),
            stream_alike=all(one.stream_alike for one in facts),
            requires=tuple(package for one in facts for package in one.requires),
            beside=next((one.beside for one in facts if one.beside), ""),
        )

    @property
    def facts(self) -> FeatureFacts:
        """Of all parts together."""
        return self._facts

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "t d"]:
        """Every part's features at the first one's frames."""
        heard = [part.extract(waveform) for part in self._parts]
        return self._beside(heard, len(heard[0]))

    def stream(self) -> FeatureStream:
        """Frames come out when every part has told its share of them.

        Raises:
            UserError: a part cannot stream.
        """
        if not self._facts.streamable:
            still = [part.facts.names[0] for part in self._parts if not part.facts.streamable]
            raise UserError(
                "audio features that can follow live sound", f"{', '.join(still)}, which cannot", "name others"
            )
        rates = [part.facts.window.rate / self._lead.rate for part in self._parts]
        return JoinedStream([part.stream() for part in self._parts], rates, self._lags)

    def statistics(self, raw: Float[np.ndarray, "t d"]) -> AudioStatistics:
        """Each part's own, in its columns."""
        return side_by_side(*(part.statistics(raw[:, columns]) for part, columns in self._with_columns()))

    def foreseen(self, raw: Float32[np.ndarray, "t d"], own: AudioStatistics) -> AudioStatistics:
        """What each part foresees of its columns; of one that does not, its own."""
        parts = []
        for part, columns in self._with_columns():
            seen = of_columns(own, columns)
            parts.append(part.foreseen(raw[:, columns], seen) if isinstance(part, Foresees) else seen)
        return side_by_side(*parts)

    def recognised(self, known: AudioStatistics, heard: AudioStatistics, seconds: float) -> float:
        """What the first feature takes the voice for."""
        lead, columns = self._parts[0], self._columns[0]
        if not isinstance(lead, Recognises):
            return 0.0
        return lead.recognised(of_columns(known, columns), of_columns(heard, columns), seconds)

    def activity(self, raw: Float32[np.ndarray, "t d"]) -> Float32[np.ndarray, "t"]:
        """What the first feature takes for speech."""
        return self._parts[0].activity(raw[:, self._columns[0]])

    def gate(self, windows: Float32[np.ndarray, "n w d"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """The first feature's gate."""
        return self._parts[0].gate(windows[..., self._columns[0]], config)

    def columns_of(self, names: Sequence[str]) -> Int[np.ndarray, "k"]:
        """Where the numbers of some of the features stand in a frame, in their order.

        Raises:
            ValueError: one of them is not among these features.
        """
        places = {part.facts.names[0]: columns for part, columns in self._with_columns()}
        if missing := [name for name in names if name not in places]:
            raise ValueError(f"{', '.join(missing)} not among {', '.join(places)}")
        return np.concatenate([np.arange(places[name].start, places[name].stop) for name in names])

    def _with_columns(self) -> list[tuple[AudioFeature, slice]]:
        return list(zip(self._parts, self._columns, strict=True))

    def _beside(self, heard: Sequence[np.ndarray], length: int) -> np.ndarray:
        """Frames of every part's own rate, at ``length`` frames of the first."""
        rates = [part.facts.window.rate / self._lead.rate for part in self._parts]
        places = [(np.arange(length) - lag) * rate for lag, rate in zip(self._lags, rates, strict=True)]
        return np.concatenate([between(raw, place) for raw, place in zip(heard, places, strict=True)], -1)


class JoinedStream:
    """The streams of several features, in step.

    Args:
        streams: one of each feature, the first leads.
        rates: frames of each for a frame of the first.
        lags: by how many frames of the first each stands later.
    """

    def __init__(self, streams: Sequence[FeatureStream], rates: Sequence[float], lags: Sequence[int]) -> None:
        self._streams, self._rates, self._lags = streams, rates, lags
        self._kept: list[np.ndarray] = []
        self._dropped = [0] * len(streams)
        self._n = 0

    def push(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t d"]:
        """See :class:`gaussavatar.audio.stream.FeatureStream`."""
        self._keep([stream.push(samples) for stream in self._streams])
        # A frame is known once every part has the last of its own frames that it lies between.
        told = [
            int((len(kept) + gone - 1) / rate) + 1 + lag if len(kept) + gone else 0
            for kept, gone, rate, lag in self._state()
        ]
        return self._emit(min(told))

    def finish(self) -> Float32[np.ndarray, "t d"]:
        """See :class:`gaussavatar.audio.stream.FeatureStream`."""
        self._keep([stream.finish() for stream in self._streams])
        return self._emit(len(self._kept[0]) + self._dropped[0])

    def _state(self) -> list[tuple[np.ndarray, int, float, int]]:
        return list(zip(self._kept, self._dropped, self._rates, self._lags, strict=True))

    def _keep(self, fresh: Sequence[np.ndarray]) -> None:
        kept = self._kept or [raw[:0] for raw in fresh]
        self._kept = [np.concatenate(pair) for pair in zip(kept, fresh, strict=True)]

    def _emit(self, until: int) -> np.ndarray:
        count = max(0, until - self._n)
        if count == 0:
            return np.zeros((0, sum(kept.shape[1] for kept in self._kept)), np.float32)
        parts = []
        for place, (kept, gone, rate, lag) in enumerate(self._state()):
            # What was dropped is stood for by its last frame, which no position reaches back to.
            position = np.clip((self._n + np.arange(count) - lag) * rate - gone, 0, len(kept) - 1)
            parts.append(between(kept, position))
            done = min(int((self._n + count - lag) * rate) - gone, len(kept) - 1)
            self._kept[place] = kept[max(0, done) :]
            self._dropped[place] = gone + max(0, done)
        self._n += count
        return np.concatenate(parts, 1)
