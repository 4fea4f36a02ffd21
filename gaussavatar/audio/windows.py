"""The stretch of feature frames that one video frame sees.

Feature frame j is centred at ``j / rate`` seconds. Video frame i at 25 fps covers ``[0.04 i, 0.04 (i + 1))`` s; its
window is centred on the middle of that (at 100 feature frames per second: frame ``4 i + 2``) and reaches as far to
either side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from gaussavatar.media.samples import forget_read
from gaussavatar.types import VIDEO_FPS


@dataclass(frozen=True)
class Window:
    """How many feature frames there are in a second, and how many a video frame sees to either side of its middle."""

    rate: int
    radius: int

    @property
    def length(self) -> int:
        """Feature frames of one window."""
        return 2 * self.radius + 1

    @property
    def reach_ms(self) -> float:
        """From the middle of a video frame to the centre of the last feature frame of its window."""
        return 1000.0 * self.radius / self.rate

    @property
    def steps(self) -> Int[np.ndarray, "w"]:
        """The window's feature frames, counted from its middle."""
        return np.arange(-self.radius, self.radius + 1)

    def centres(
        self, frames: Int[np.ndarray, "b"], fps: float = VIDEO_FPS, offset_frames: float = 0.0
    ) -> Int[np.ndarray, "b"]:
        """Feature frame at the middle of each video frame, ``offset_frames`` video frames later."""
        return np.rint((np.asarray(frames) + 0.5 + offset_frames) * (self.rate / fps)).astype(np.int64)


def windows(
    features: Float32[np.ndarray, "t d"],
    n_frames: int,
    window: Window,
    fps: float = VIDEO_FPS,
    *,
    offset_frames: float = 0.0,
    fill: Float32[np.ndarray, "d"] | None = None,
) -> Float32[np.ndarray, "n_frames w d"]:
    """The features that each video frame sees.

    Args:
        features: raw or normalised features.
        n_frames: video frames wanted, from the start of the sound.
        window: the features' rate, and how far a frame sees.
        fps: video frames per second.
        offset_frames: shift of the windows towards later sound, in video frames
            (see :func:`gaussavatar.audio.offset.estimate_av_offset`).
        fill: what stands before the start and after the end; each column's minimum by default.
            ``AudioStatistics.silence`` is right for normalised features.

    Raises:
        ValueError: there are no features, and no ``fill``.
    """
    if fill is None and not len(features):
        raise ValueError("windows of a sound without features want a fill")
    edge = np.asarray(features.min(0) if fill is None else fill, np.float32)
    index = window.centres(np.arange(n_frames), fps, offset_frames)[:, None] + window.steps
    padded = np.concatenate([features.astype(np.float32), edge[None]])
    return padded[np.where((index < 0) | (index >= len(features)), len(features), index)]


def windows_in_turn(
    features: Float32[np.ndarray, "t d"],
    n_frames: int,
    window: Window,
    size: int,
    prepared: Callable[[Float32[np.ndarray, "s d"]], Float32[np.ndarray, "s d"]],
    fill: Float32[np.ndarray, "d"],
) -> Iterator[Float32[np.ndarray, "n w d"]]:
    """What :func:`windows` gives of ``prepared(features)``, ``size`` video frames at a time.

    Args:
        features: raw features; ``prepared`` is applied to the stretch that is seen, frame by frame.
        n_frames: see :func:`windows`.
        window: see :func:`windows`.
        size: video frames of each piece.
        prepared: what is done to raw features, each frame alone.
        fill: see :func:`windows`; prepared already.
    """
    for start in range(0, n_frames, size):
        index = window.centres(np.arange(start, min(start + size, n_frames)))[:, None] + window.steps
        first, last = max(0, int(index[0, 0])), min(len(features), int(index[-1, -1]) + 1)
        outside = (index < 0) | (index >= len(features))
        heard = prepared(np.asarray(features[first : max(first, last)]))
        padded = np.concatenate([heard, np.asarray(fill, np.float32)[None]])
        forget_read(features)
        yield padded[np.where(outside, len(heard), index - first)]
