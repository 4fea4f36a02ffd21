"""What a network heard while it learnt, and how sound of another kind is brought towards that.

A network answers anything it is given, also what no voice of its training sounded like. Its feature frames fill a small
part of the space that they lie in: a few principal components, each over a certain range. What another voice has beside
these components, or beyond these ranges, tells of that voice and its room rather than of the mouth, and is taken away.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

COMPONENTS = 30
"""Of the 62 and 69 columns of the two networks' frames these tell .97 and .95 of the variance (docs/speech.md)."""

BEYOND = 0.005
"""Share of the frames that lie beyond a component's range on either side: clicks and mistakes, not speech."""


@dataclass(frozen=True)
class HeardBefore:
    """Where a network's feature frames lay while it learnt.

    Attributes:
        mean: of the normalised frames.
        components: orthogonal directions of unit length, that of most variance first.
        low, high: range of the frames along each component, from the mean.
    """

    mean: Float32[np.ndarray, "d"]
    components: Float32[np.ndarray, "k d"]
    low: Float32[np.ndarray, "k"]
    high: Float32[np.ndarray, "k"]


def fit_heard_before(frames: Float[np.ndarray, "n d"], count: int) -> HeardBefore:
    """Principal components of normalised feature frames, and the ranges along them.

    Args:
        frames: what a network learns from: all its voices, and pauses.
        count: components, at most d.
    """
    values = np.asarray(frames, np.float64)
    mean = values.mean(0)
    centred = values - mean
    directions = np.linalg.eigh(centred.T @ centred / len(centred))[1].T[::-1][:count]
    # A direction and its opposite are the same component; the program is to find the same one everywhere.
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    components = directions * np.where(largest < 0, -1.0, 1.0)
    low, high = np.quantile(centred @ components.T, (BEYOND, 1.0 - BEYOND), axis=0)
    return HeardBefore(*(part.astype(np.float32) for part in (mean, components, low, high)))


class HeardMatch(nn.Module):
    """A :class:`HeardBefore` that travels with a network's weights; before it learnt one, it changes nothing."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        shapes = {"mean": (width,), "components": (count, width), "low": (count,), "high": (count,)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def learn(self, known: HeardBefore) -> None:
        """Take over what was heard."""
        for field in dataclasses.fields(HeardBefore):
            self.get_buffer(field.name).copy_(torch.from_numpy(getattr(known, field.name)))

    def forward(self, windows: Float[Tensor, "*b d"], strength: float) -> Float[Tensor, "*b d"]:
        """Frames brought towards what was heard: 0 leaves them as they are, 1 keeps nothing but what was heard."""
        components = self.get_buffer("components")
        if strength == 0 or not components.any():
            return windows
        mean = self.get_buffer("mean")
        told = (windows - mean) @ components.T
        heard = mean + told.clamp(self.get_buffer("low"), self.get_buffer("high")) @ components
        return torch.lerp(windows, heard, strength)
