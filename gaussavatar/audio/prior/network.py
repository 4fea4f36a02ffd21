"""The speech encoder while it learns: batch normalisation and dropout, which what is played has no more."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.audio.features.mel_bands import N_MELS
from gaussavatar.audio.features.viseme_network import (
    ARTICULATION,
    LAYERS,
    STEM,
    Layer,
    Reach,
    VisemeNetwork,
    reach_of,
    residual,
)
from gaussavatar.audio.phone_classes import CLASSES


class TrainedNetwork(nn.Module):
    """Parameters of :class:`gaussavatar.audio.features.viseme_network.VisemeNetwork` before they are folded.

    Args:
        hidden: channels.
        layers: the residual convolutions.
        dropout: share of a layer's change that is left out while learning.
    """

    def __init__(self, hidden: int = 96, layers: tuple[Layer, ...] = LAYERS, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = layers
        self.stem = nn.Conv1d(N_MELS, hidden, STEM, stride=2)
        self.stem_norm = nn.BatchNorm1d(hidden)
        self.convolutions = nn.ModuleList(nn.Conv1d(hidden, hidden, 3, dilation=one.dilation) for one in layers)
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, len(CLASSES) + len(ARTICULATION))

    @property
    def reach(self) -> Reach:
        """Frames of log-mel that a frame sees."""
        return reach_of(self.layers)

    def trunk(self, mel: Float[Tensor, "b t 40"]) -> Float[Tensor, "b s h"]:
        """See :meth:`gaussavatar.audio.features.viseme_network.VisemeNetwork.trunk`."""
        x = F.relu(self.stem_norm(self.stem(mel.transpose(1, 2))))
        for layer, convolution, norm in zip(self.layers, self.convolutions, self.norms, strict=True):
            x = residual(x, self.dropout(F.relu(norm(convolution(x)))), layer)
        return x.transpose(1, 2)

    def forward(self, mel: Float[Tensor, "b t 40"]) -> Float[Tensor, "b s o"]:
        """Scores of the classes and raw articulation; the closure is a logit."""
        return self.head(self.trunk(mel))


def folded(network: TrainedNetwork, components: int = 24) -> VisemeNetwork:
    """The network with its batch normalisation folded into the convolutions; components are still the identity's."""

    def fold(convolution: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
        assert isinstance(convolution, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d)
        assert convolution.bias is not None and norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = convolution.weight * scale[:, None, None]
        return weight.detach(), ((convolution.bias - norm.running_mean) * scale + norm.bias).detach()

    hidden = network.stem.out_channels
    return VisemeNetwork(
        stem=fold(network.stem, network.stem_norm),
        layers=network.layers,
        convolutions=tuple(fold(c, n) for c, n in zip(network.convolutions, network.norms, strict=True)),
        head=(network.head.weight.detach().clone(), network.head.bias.detach().clone()),
        centre=torch.zeros(hidden),
        components=torch.eye(hidden)[:components],
    )
