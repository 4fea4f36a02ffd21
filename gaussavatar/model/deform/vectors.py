"""Motion from a learnt vector per Gaussian and a shallow MLP (EmbedTalk, arXiv 2603.07604).

The vectors and the upper-face channels enter as sinusoidal encodings, the mouth codes as they are, and every attribute
has a head of its own. The first layer is a sum of a part per Gaussian and a part per frame, so that the wide product
is done once for all frames.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor, nn

from gaussavatar.model.deform.design import DeformationRequest
from gaussavatar.model.gaussians import CHANNEL_WIDTH
from gaussavatar.model.per_gaussian import PerGaussian

N_NEIGHBOURS = 20
"""Neighbours whose vectors a Gaussian's is kept like."""

NEARNESS = 2000.0
"""exp(-NEARNESS d^2), d in metres, is how alike neighbours are to be."""

FREQUENCIES = (1.0, 2.0)
"""Angular frequencies of the encodings; the vectors start near zero and stay of the order of one."""

START = 0.5
"""Size of the vectors at the start."""

SMOOTHED = 2000
"""Gaussians that one evaluation of the smoothness looks at."""


def build(request: DeformationRequest) -> Vectors:
    """Vectors of the start's moving Gaussians; no motion at first."""
    return Vectors(
        request.n_codes,
        request.n_upper,
        tuple(CHANNEL_WIDTH[channel] for channel in request.config.moves),
        request.start.raw.means[: request.start.n_moving],
        vector=request.config.vector,
        hidden=request.config.hidden,
    )


def encode(values: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """The values, and their sines and cosines at :data:`FREQUENCIES`."""
    waves = [wave(values * frequency) for frequency in FREQUENCIES for wave in (torch.sin, torch.cos)]
    return torch.cat([values, *waves], dim=-1)


def neighbours(means: Float[Tensor, "m 3"]) -> tuple[Int[Tensor, "m k"], Float[Tensor, "m k"]]:
    """Each point's nearest others and their weights exp(-2000 d^2)."""
    if len(means) < 2:
        return torch.zeros(len(means), 0, dtype=torch.int32), torch.zeros(len(means), 0)
    points = means.detach().cpu().double().numpy()
    count = min(N_NEIGHBOURS, len(points) - 1)
    distance, index = cKDTree(points).query(points, k=count + 1)
    # The first is the point itself.
    index = torch.from_numpy(index[:, 1:].astype(np.int32)).to(means.device)
    return index, torch.from_numpy(np.exp(-NEARNESS * distance[:, 1:] ** 2)).to(means)


def fourier_features(means: Float[Tensor, "m 3"], count: int) -> Float[Tensor, "m d"]:
    """Random features whose products are, on average, exp(-2000 d^2) (Rahimi and Recht, NIPS 2007, sec. 3).

    Vectors that begin as these are alike where the smoothness asks for it; from unrelated vectors, each Gaussian would
    have to learn its motion alone.
    """
    frequencies = torch.randn(3, count).to(means) * (2 * NEARNESS) ** 0.5
    phases = torch.rand(count).to(means) * 2 * torch.pi
    return 2**0.5 * torch.cos(means.detach() @ frequencies + phases)


class Vectors(nn.Module):
    """A vector per Gaussian, moved through a shallow MLP with one head per attribute."""

    def __init__(
        self,
        n_codes: int,
        n_upper: int,
        widths: tuple[int, ...],
        means: Float[Tensor, "m 3"],
        *,
        vector: int = 16,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        waves = 1 + 2 * len(FREQUENCIES)
        self.n_upper = n_upper
        self.vectors = nn.Parameter(fourier_features(means, vector) * START)
        self.gaussian = nn.Linear(vector * waves, hidden, bias=False)
        self.frame = nn.Linear(n_codes - n_upper + n_upper * waves, hidden)
        self.heads = nn.ModuleList([nn.Linear(hidden, width) for width in widths])
        for head in self.heads:
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        # Where each Gaussian was when it began, or its parent did: neighbours are a function of what is stored, so
        # that a resumed run finds the same.
        self.register_buffer("anchors", means.detach().clone())
        self._met: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, codes: Float[Tensor, "b c"], means: Float[Tensor, "m 3"]) -> Float[Tensor, "b m w"]:
        """See :class:`gaussavatar.model.deform.design.Deformation`."""
        mouth = codes[:, : codes.shape[1] - self.n_upper]
        upper = codes[:, codes.shape[1] - self.n_upper :]
        frame = self.frame(torch.cat([mouth, encode(upper)], dim=-1) if self.n_upper else mouth)
        hidden = torch.relu(self.gaussian(encode(self.vectors)) + frame[:, None])
        # One product for all heads: their weights one below the other.
        weight = torch.cat([head.weight for head in self.heads])  # type: ignore[misc]
        bias = torch.cat([head.bias for head in self.heads])  # type: ignore[misc]
        return torch.nn.functional.linear(hidden, weight, bias)

    def neighbours(self) -> tuple[Int[Tensor, "m k"], Float[Tensor, "m k"]]:
        """Neighbours and weights; found anew when the set of Gaussians has changed."""
        anchors: Tensor = self.anchors  # type: ignore[assignment]
        if self._met is None or self._met[0].shape != anchors.shape or not torch.equal(self._met[0], anchors):
            self._met = (anchors.clone(), *neighbours(anchors))
        return self._met[1:]

    def smoothness(self, generator: torch.Generator) -> Float[Tensor, ""]:
        """Mean over neighbours of exp(-2000 d^2) times the distance of their vectors (estimated on a random part)."""
        if len(self.vectors) < 2:
            return self.vectors.new_zeros(())
        index, nearness = self.neighbours()
        count = len(self.vectors)
        rows = torch.arange(count) if count <= SMOOTHED else torch.randint(count, (SMOOTHED,), generator=generator)
        rows = rows.to(self.vectors.device)
        # The gradient of advanced indexing adds up in an order that differs from run to run; this one's does not.
        others = self.vectors.index_select(0, index[rows].long().flatten()).unflatten(0, (len(rows), -1))
        gap = (others - self.vectors.index_select(0, rows)[:, None]).square().sum(-1)
        return (nearness[rows] * (gap + 1e-12).sqrt()).mean()

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """See :class:`gaussavatar.model.deform.design.Deformation`."""
        return {"vectors": PerGaussian(), "anchors": PerGaussian()}
