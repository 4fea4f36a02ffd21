"""Motion from a dense tri-plane of features and a small MLP (TalkingGaussian, ECCV 2024, sec. 3.2 and 3.3).

The method's published hash grids never hash: the levels below are their dense form. Its
MLPs have no biases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.deform.design import DeformationRequest
from gaussavatar.model.per_gaussian import PerGaussian

N_LEVELS = 12
"""Levels of planes, one feature each, as published."""

BOUND = 0.15
"""Half the side of the cube that the planes cover, metres."""

SMALLEST = 1e-4
"""Largest value in the planes at the start, as published: so small that gates are next to shut and nothing moves."""

GATE_HIDDEN = (32, 16)
"""Hidden units of the attention MLPs for the mouth codes and for the upper face, as published."""


Gates = tuple[Float[Tensor, "m n"], Float[Tensor, "m u"] | None]
"""How far each Gaussian listens to every mouth code, and to every channel of the upper face where there are any."""


def build(request: DeformationRequest) -> TriPlane:
    """A tri-plane that starts next to without motion."""
    config = request.config
    return TriPlane(
        request.n_codes,
        request.width,
        n_upper=request.n_upper,
        hidden=config.hidden,
        planes=config.planes,
        attention=config.attention,
        axes=config.axes,
    )


def level_sides(coarsest: float, finest: float) -> tuple[int, ...]:
    """Sides of the levels, growing (or shrinking) by one factor, rounded as the published encoder rounds."""
    factor = (finest / coarsest) ** (1 / (N_LEVELS - 1))
    # Rounded first, so that a power that should be whole does not count as a hair above.
    return tuple(math.ceil(round(coarsest * factor**level, 9) - 1) + 1 for level in range(N_LEVELS))


class RegionAttention(nn.Module):
    """Gates of the codes from the features of a place: which of them a Gaussian listens to (sec. 3.2).

    The mouth codes' gates are linear at the end and the upper face's non-negative, as published; the upper-face
    channels pass a small MLP before their gate.
    """

    def __init__(self, n_features: int, n_mouth: int, n_upper: int) -> None:
        super().__init__()
        mouth_hidden, upper_hidden = GATE_HIDDEN
        self.n_mouth = n_mouth
        self.mouth = _mlp(n_features, mouth_hidden, n_mouth)
        self.upper = _mlp(n_features, upper_hidden, n_upper) if n_upper else None
        self.encode = _mlp(n_upper, upper_hidden, n_upper) if n_upper else None

    def forward(self, features: Float[Tensor, "m f"]) -> Gates:
        """Gates of the mouth codes and of the upper face."""
        return self.mouth(features), None if self.upper is None else torch.relu(self.upper(features))

    def told(self, codes: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """What the gates are laid on: the mouth codes as they are, the upper face through its MLP."""
        if self.encode is None:
            return codes[:, : self.n_mouth]
        return torch.cat([codes[:, : self.n_mouth], self.encode(codes[:, self.n_mouth :])], dim=-1)


class TriPlane(nn.Module):
    """Position features of three planes, concatenated with the (gated) codes, through an MLP."""

    def __init__(
        self,
        n_codes: int,
        width: int,
        *,
        n_upper: int = 0,
        hidden: int = 64,
        planes: tuple[float, float] = (16.0, 38.4),
        attention: bool = False,
        axes: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        sides = level_sides(*planes)
        n_features = 3 * len(sides)
        self.planes = nn.ParameterList(
            [nn.Parameter(torch.empty(3, 1, side, side).uniform_(-SMALLEST, SMALLEST)) for side in sides]
        )
        self.attention = RegionAttention(n_features, n_codes - n_upper, n_upper) if attention else None
        self.position = nn.Linear(n_features, hidden, bias=False)
        self.codes = nn.Linear(n_codes, hidden, bias=False)
        self.hidden = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)
        if not attention:
            # With gates, planes next to zero keep everything still. A last layer of zeros would hide the picture from
            # the gates while hair and lips are taught to be deaf; without biases all die within a few hundred steps.
            nn.init.zeros_(self.out.weight)
        gains = torch.ones(width)
        gains[:3] = torch.tensor(axes)
        self.register_buffer("gains", gains, persistent=False)
        self._kept: list[Gates] | None = None

    def features(self, means: Float[Tensor, "m 3"]) -> Float[Tensor, "m f"]:
        """Bilinear features of every level and plane (xy, yz, xz) at ``means``."""
        point = (means / BOUND).clamp(-1, 1)
        # Slices, not lists of columns: these would be sent to a GPU anew in every step.
        planes = torch.stack([point[:, :2], point[:, 1:], point[:, ::2]])[:, :, None, :]
        levels = [F.grid_sample(level, planes, align_corners=True)[:, 0, :, 0] for level in self.planes]
        return torch.cat(levels).T

    @contextmanager
    def keeping_gates(self) -> Iterator[None]:
        """Within, :meth:`attention_of` is told of the gates of the last forward pass, which must be of the same means.

        Planes and MLPs are then looked up, and differentiated, once instead of twice.
        """
        self._kept = []
        try:
            yield
        finally:
            self._kept = None

    def attention_of(self, means: Float[Tensor, "m 3"]) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]] | None:
        """How strongly each Gaussian listens to the mouth codes and to the upper face: the norms of its gates.

        None without attention; zeros where the branch has no upper-face channels.
        """
        if self.attention is None:
            return None
        mouth, upper = self._kept[-1] if self._kept else self.attention(self.features(means))
        quiet = torch.zeros_like(mouth[:, 0]) if upper is None else _norm(upper)
        return _norm(mouth), quiet

    def forward(self, codes: Float[Tensor, "b c"], means: Float[Tensor, "m 3"]) -> Float[Tensor, "b m w"]:
        """See :class:`gaussavatar.model.deform.design.Deformation`."""
        features = self.features(means)
        # The first layer's part of the position is the same for all frames, and computed once.
        position = self.position(features)[None]
        if self.attention is None:
            felt = position + self.codes(codes)[:, None]
        else:
            gates = self.attention(features)
            if self._kept is not None:
                self._kept.append(gates)
            told = self.attention.told(codes)
            # The codes go into the layer's weights rather than into every Gaussian's gates.
            weights = (self.codes.weight * told[:, None]).transpose(1, 2)
            every = torch.cat([gate for gate in gates if gate is not None], dim=-1).expand(len(told), -1, -1)
            felt = torch.baddbmm(position.expand(len(told), -1, -1), every, weights)
        hidden = torch.relu_(self.hidden(torch.relu_(felt)))
        return F.linear(hidden, self.out.weight * self.gains[:, None])

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """See :class:`gaussavatar.model.deform.design.Deformation`."""
        return {}


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, outputs, bias=False))


def _norm(gates: Float[Tensor, "m n"]) -> Float[Tensor, "m"]:
    """Euclidean norm with a finite gradient where every gate is zero."""
    return (gates.square().sum(-1) + 1e-12).sqrt()
