"""From the timid codes that a network dares to predict to mouths as wide, and as often shut, as the person's own.

Least squares answers doubt with the middle. How far it falls short is seen on frames that a network did not learn
from: their predicted openings, put in order, are matched to the person's own in order (a histogram match), and each
code is widened on the way. What the sound does not tell stays untold; only its size is put right.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

KNOTS = 41
"""Points of the match: every 2.5 % of the frames."""

TRUST_FRAMES = 75.0
"""Frames of a voice at which half of what it seems to lack is made up for: three seconds of speech."""

LOUDEST = 1.7
"""No voice's mouths are made wider than by this factor."""

WIDEST = 1.3
"""No code is widened more than this: beyond it, what is wrong grows faster than what is right."""


@dataclass(frozen=True)
class OwnRange:
    """How a network's codes become as wide as the person's.

    Attributes:
        gain: factor on each code's distance from the network's mean.
        opening: lip aperture per unit of each code, so that ``(codes - mean) @ opening`` is an opening.
        toward: codes per unit of opening; ``toward @ opening`` is 1.
        heard: openings as predicted, in order.
        own: the person's openings at the same places in the order.
    """

    gain: Float32[np.ndarray, "m"]
    opening: Float32[np.ndarray, "m"]
    toward: Float32[np.ndarray, "m"]
    heard: Float32[np.ndarray, "k"]
    own: Float32[np.ndarray, "k"]


def unchanged(n_codes: int) -> OwnRange:
    """A range that leaves every code as it is."""
    nothing, line = np.zeros(n_codes, np.float32), np.linspace(-1.0, 1.0, KNOTS, dtype=np.float32)
    return OwnRange(np.ones(n_codes, np.float32), nothing, nothing, line, line)


def fit_own_range(
    predicted: Float[np.ndarray, "n m"],
    real: Float[np.ndarray, "n m"],
    aperture: Float[np.ndarray, "n"],
    middle: Float[np.ndarray, "m"],
) -> OwnRange:
    """The match of predictions of frames that were not learnt from to the real codes of these frames.

    Args:
        predicted: codes by networks that never saw the frame.
        real: the person's codes.
        aperture: the person's lip aperture.
        middle: the mean that the network's answers lie around.
    """
    told, shown = predicted - middle, real - middle
    spread_told, spread_shown = told.std(0), shown.std(0)
    # Only what is told right is widened: the slope of least squares, undone as far as the two agree.
    agreement = (told * shown).mean(0) / np.maximum(spread_told * spread_shown, 1e-12)
    short = spread_shown / np.maximum(spread_told, 1e-9)
    gain = np.clip(1.0 + np.clip(agreement, 0.0, 1.0) * (short - 1.0), 1.0, WIDEST)
    centred = shown - shown.mean(0)
    gram = centred.T @ centred + 1e-3 * len(real) * np.eye(real.shape[1])
    opening = np.linalg.solve(gram, centred.T @ (aperture - aperture.mean()))
    open_now = aperture - aperture.mean()
    toward = open_now @ centred / max(float(open_now @ open_now), 1e-12)
    scale = float(toward @ opening)
    if scale < 1e-6:
        return unchanged(real.shape[1])
    place = np.linspace(0.0, 1.0, KNOTS)
    heard, own = np.quantile(told * gain @ opening, place), np.quantile(shown @ opening, place)
    # Equal neighbours would make a step of the match.
    heard = np.maximum.accumulate(heard + 1e-7 * np.arange(KNOTS))
    values = (gain, opening, toward / scale, heard, own)
    return OwnRange(*(value.astype(np.float32) for value in values))


def piecewise(x: Float[Tensor, "n"], heard: Float[Tensor, "k"], own: Float[Tensor, "k"]) -> Float[Tensor, "n"]:
    """The line through the knots (heard, own); beyond the ends it goes on one for one."""
    inside = x.clamp(heard[0], heard[-1])
    right = torch.searchsorted(heard, inside).clamp(1, len(heard) - 1)
    x0, x1, y0, y1 = heard[right - 1], heard[right], own[right - 1], own[right]
    share = (inside - x0) / (x1 - x0).clamp_min(1e-9)
    return y0 + share.clamp(0, 1) * (y1 - y0) + (x - inside)


class RangeMatch(nn.Module):
    """An :class:`OwnRange` that travels with a network's weights; before it learnt one, it changes nothing."""

    def __init__(self, n_codes: int) -> None:
        super().__init__()
        for field in dataclasses.fields(OwnRange):
            self.register_buffer(field.name, torch.from_numpy(getattr(unchanged(n_codes), field.name)))

    def learn(self, own: OwnRange) -> None:
        """Take over how wide the person's codes are."""
        for field in dataclasses.fields(OwnRange):
            self.get_buffer(field.name).copy_(torch.from_numpy(getattr(own, field.name)))

    def forward(
        self, codes: Float[Tensor, "b m"], middle: Float[Tensor, "m"], voice: tuple[float, float] = (1.0, 0.0)
    ) -> Float[Tensor, "b m"]:
        """The codes as wide as the person moves, around ``middle``; ``voice`` is what :meth:`of_voice` says."""
        scale, shift = voice
        wide = (codes - middle) * self.get_buffer("gain") * scale
        opening = wide @ self.get_buffer("opening")
        matched = piecewise(opening + shift, self.get_buffer("heard"), self.get_buffer("own"))
        return middle + wide + (matched - opening)[:, None] * self.get_buffer("toward")

    def of_voice(self, codes: Float[Tensor, "n m"], middle: Float[Tensor, "m"]) -> tuple[float, float]:
        """How much less a network dares under this voice than under the person's own, and how much more shut.

        The openings of the frames in which it speaks are brought to the mean and the deviation that they have under the
        person's voice, the more of it the longer it was heard.

        Args:
            codes: answers of the network in frames where the voice speaks.
            middle: the mean that they lie around.

        Returns:
            A factor on the codes' distance from ``middle``, and what is added to the opening.
        """
        heard = self.get_buffer("heard")
        inner = 0.5 * (heard[1:] + heard[:-1])
        told = (codes - middle) * self.get_buffer("gain") @ self.get_buffer("opening")
        if len(told) < 2 or float(told.std()) < 1e-9 or not self.get_buffer("opening").any():
            return 1.0, 0.0
        trust = len(told) / (len(told) + TRUST_FRAMES)
        spread = float(inner.std())
        scale = min(max(spread / float(told.std()), 1.0), LOUDEST) ** trust
        off = float(inner.mean()) - scale * float(told.mean())
        return scale, trust * min(max(off, -0.5 * spread), 0.5 * spread)
