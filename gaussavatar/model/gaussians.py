"""One set of persistent Gaussians in canonical head space and its activation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.config import Channel
from gaussavatar.model.harmonics import n_coefficients
from gaussavatar.model.per_gaussian import PerGaussian
from gaussavatar.native.activation import WIDTHS, MotionLayout, Raw
from gaussavatar.native.operations import OPERATIONS
from gaussavatar.types import Activated

CHANNELS: tuple[Channel, ...] = ("position", "rotation", "scale", "color", "opacity")
CHANNEL_WIDTH: dict[Channel, int] = dict(zip(CHANNELS, WIDTHS, strict=True))
"""Numbers per Gaussian of each attribute that may move."""

MOTION_SCALE: dict[Channel, float] = {
    "position": 3e-3,
    "rotation": 0.2,
    "scale": 0.3,
    "color": 0.15,
    "opacity": 1.0,
}
"""The unit in which each attribute's motion is learnt (metres; raw units otherwise), so that
one learning rate serves all of them."""


@dataclass(frozen=True)
class RawGaussians:
    """Raw parameters: log scales and logit opacities; ``means`` in metres."""

    means: Float[Tensor, "n 3"]
    quats: Float[Tensor, "n 4"]
    log_scales: Float[Tensor, "n 3"]
    logit_opacities: Float[Tensor, "n"]
    colors: Float[Tensor, "n 3"]


@dataclass(frozen=True)
class InitialBranch:
    """Raw Gaussians, how many of the first of them may move, and their blendshapes."""

    raw: RawGaussians
    n_moving: int
    position: Float[Tensor, "c m 3"]


class Gaussians(nn.Module):
    """The trainable parameters of one branch. The first ``n_moving`` Gaussians may move.

    Gaussians are the first axis of every parameter and buffer here: densification relies on it.
    """

    def __init__(self, raw: RawGaussians, n_moving: int, sh_degree: int = 0) -> None:
        super().__init__()
        self.means = nn.Parameter(raw.means)
        self.quats = nn.Parameter(raw.quats)
        self.log_scales = nn.Parameter(raw.log_scales)
        self.logit_opacities = nn.Parameter(raw.logit_opacities)
        self.colors = nn.Parameter(raw.colors)
        # Absent at degree 0, so that such an avatar neither stores nor trains them.
        blank = torch.zeros(len(raw.means), n_coefficients(sh_degree), 3) if sh_degree else None
        self.sh = None if blank is None else nn.Parameter(blank)
        self.n_moving = n_moving

    def __len__(self) -> int:
        return self.means.shape[0]

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """Every parameter and buffer: Gaussians are the first axis of all."""
        names = [name for name, _ in (*self.named_parameters(recurse=False), *self.named_buffers(recurse=False))]
        return dict.fromkeys(names, PerGaussian())


def motion_width(moves: tuple[Channel, ...]) -> int:
    """Numbers per Gaussian that motion changes."""
    return sum(CHANNEL_WIDTH[channel] for channel in moves)


def activate(
    gaussians: Gaussians, motion: Float[Tensor, "b m w"] | None, moves: tuple[Channel, ...], batch: int
) -> Activated:
    """Raw parameters plus motion to what the rasterizer takes.

    ``motion`` holds, for the first m Gaussians, the channels ``moves`` in order and in
    the units of :data:`MOTION_SCALE`.
    """
    return Activated(*OPERATIONS["activate"](_raw(gaussians), motion, motion_layout(moves), batch))


def activate_blended(
    gaussians: Gaussians, weights: Float[Tensor, "b k"], basis: Float[Tensor, "k mw"], moves: tuple[Channel, ...]
) -> tuple[Activated, Float[Tensor, "b m w"]]:
    """:func:`activate` with the motion ``weights @ basis``, which is returned too; one kernel where there is one."""
    width = motion_width(moves)
    activated, motion = OPERATIONS["blendshapes"](weights, basis, width, _raw(gaussians), motion_layout(moves))
    return Activated(*activated), motion


def motion_layout(moves: tuple[Channel, ...]) -> MotionLayout:
    """Where the channels that move lie in a motion, and their units."""
    offsets, units, start = dict.fromkeys(CHANNEL_WIDTH, -1), dict.fromkeys(CHANNEL_WIDTH, 0.0), 0
    for channel in moves:
        offsets[channel], units[channel] = start, MOTION_SCALE[channel]
        start += CHANNEL_WIDTH[channel]
    return MotionLayout(tuple(offsets.values()), tuple(units.values()))


def _raw(gaussians: Gaussians) -> Raw:
    return Raw(gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logit_opacities, gaussians.colors)
