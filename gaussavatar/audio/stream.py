"""Features of sound that arrives in pieces of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32


@runtime_checkable
class FeatureStream(Protocol):
    """Takes sound as it comes. What it gives, put together, is what the feature extracts from the whole."""

    def push(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t d"]:
        """Take 16 kHz samples and return the feature frames that became complete."""
        ...

    def finish(self) -> Float32[np.ndarray, "t d"]:
        """Return the remaining frames, as if digital silence followed."""
        ...


def n_centred_frames(n_samples: int, hop: int) -> int:
    """Frames every ``hop`` samples whose centre lies in a sound of ``n_samples``, both ends included."""
    return n_samples // hop + 1


class FramedStream:
    """Stream of a feature whose frame j looks at ``length`` samples around sample ``j * hop`` and at nothing else.

    Args:
        analyse: the first n frames of samples; frame 0 starts at the first of them.
        length: samples that a frame looks at; even.
        hop: samples from one frame to the next.
    """

    def __init__(self, analyse: Callable[[np.ndarray, int], np.ndarray], length: int, hop: int) -> None:
        self._analyse, self._length, self._hop = analyse, length, hop
        self._pending = np.zeros(length // 2, np.float32)
        self._n_samples = 0
        self._n_frames = 0

    def push(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t d"]:
        """See :class:`FeatureStream`; a frame comes out as soon as half a ``length`` after its centre is there."""
        samples = np.asarray(samples, np.float32)
        self._n_samples += len(samples)
        self._pending = np.concatenate([self._pending, samples])
        return self._emit(max(0, (len(self._pending) - self._length) // self._hop + 1))

    def finish(self) -> Float32[np.ndarray, "t d"]:
        """See :class:`FeatureStream`."""
        n = n_centred_frames(self._n_samples, self._hop) - self._n_frames
        self._pending = np.pad(self._pending, (0, self._length + self._hop))
        return self._emit(n)

    def _emit(self, n: int) -> np.ndarray:
        out = self._analyse(self._pending, n)
        self._pending = self._pending[n * self._hop :]
        self._n_frames += n
        return out
