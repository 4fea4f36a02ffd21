"""One set of persistent Gaussians in canonical head space and its activation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.config import Channel
from gaussavatar.model.harmonics import n_coefficients
from gaussavatar.model.native_activate import NativeActivate
from gaussavatar.model.per_gaussian import PerGaussian
from gaussavatar.types import Activated

CHANNEL_WIDTH: dict[Channel, int] = {"position": 3, "rotation": 4, "scale": 3, "color": 3, "opacity": 1}
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
    the units of :data:`MOTION_SCALE`. Float32 on the CPU goes through the native library.
    """
    if gaussians.means.device.type != "cpu" or gaussians.means.dtype != torch.float32:
        return activate_in_torch(gaussians, motion, moves, batch)
    offsets, units, start = dict.fromkeys(CHANNEL_WIDTH, -1), dict.fromkeys(CHANNEL_WIDTH, 0.0), 0
    for channel in moves:
        offsets[channel], units[channel] = start, MOTION_SCALE[channel]
        start += CHANNEL_WIDTH[channel]
    raw = (gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logit_opacities, gaussians.colors)
    layout = (tuple(offsets.values()), tuple(units.values()))
    return Activated(*NativeActivate.apply(batch, layout, motion, *raw))  # type: ignore[misc]


def activate_in_torch(
    gaussians: Gaussians, motion: Float[Tensor, "b m w"] | None, moves: tuple[Channel, ...], batch: int
) -> Activated:
    """The torch form of :func:`activate`: any device, any precision, and the native form's oracle."""
    raw: dict[str, Tensor] = {
        "position": gaussians.means,
        "rotation": gaussians.quats,
        "scale": gaussians.log_scales,
        "color": gaussians.colors,
        "opacity": gaussians.logit_opacities[:, None],
    }
    moved = {name: value.expand(batch, *value.shape) for name, value in raw.items()}
    if motion is not None:
        count = motion.shape[1]
        start = 0
        for channel in moves:
            width = CHANNEL_WIDTH[channel]
            delta = motion[..., start : start + width] * MOTION_SCALE[channel]
            start += width
            head = raw[channel][:count] + delta
            tail = raw[channel][count:].expand(batch, -1, -1)
            moved[channel] = torch.cat([head, tail], dim=1) if count < len(gaussians) else head
    return Activated(
        means=moved["position"],
        quats=torch.nn.functional.normalize(moved["rotation"], dim=-1),
        scales=moved["scale"].exp(),
        opacities=moved["opacity"].sigmoid().squeeze(-1),
        colors=moved["color"],
    )
