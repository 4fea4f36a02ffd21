"""Motion from a dense tri-plane of features and a small MLP (TalkingGaussian, ECCV 2024, sec. 3.2).

The method's published hash grids never hash: the levels below are their dense form.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.deform import PerGaussian

LEVELS = (16, 18, 19, 21, 22, 24, 26, 28, 31, 33, 36, 39)
"""Side of each level's planes (the published face branch: base 16, finest 38.4, 12 levels)."""

BOUND = 0.15
"""Half the side of the cube that the planes cover, metres."""

HIDDEN = 64
"""Units of the MLP's two hidden layers, as published."""


class TriPlane(nn.Module):
    """Position features of three planes, concatenated with the codes, through an MLP."""

    def __init__(self, n_codes: int, width: int) -> None:
        super().__init__()
        self.planes = nn.ParameterList([nn.Parameter(torch.randn(3, 1, side, side) * 1e-2) for side in LEVELS])
        self.position = nn.Linear(3 * len(LEVELS), HIDDEN, bias=False)
        self.codes = nn.Linear(n_codes, HIDDEN)
        self.hidden = nn.Linear(HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def features(self, means: Float[Tensor, "m 3"]) -> Float[Tensor, "m f"]:
        """Bilinear features of every level and plane (xy, yz, xz) at ``means``."""
        point = (means / BOUND).clamp(-1, 1)
        planes = torch.stack([point[:, [0, 1]], point[:, [1, 2]], point[:, [0, 2]]])[:, :, None, :]
        levels = [F.grid_sample(level, planes, align_corners=True)[:, 0, :, 0] for level in self.planes]
        return torch.cat(levels).T

    def forward(self, codes: Float[Tensor, "b c"], means: Float[Tensor, "m 3"]) -> Float[Tensor, "b m w"]:
        """See :class:`gaussavatar.model.deform.Deformation`."""
        position = self.position(self.features(means))
        hidden = torch.relu(position[None] + self.codes(codes)[:, None])
        return self.out(torch.relu(self.hidden(hidden)))

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """See :class:`gaussavatar.model.deform.Deformation`."""
        return {}
