"""Two networks that hear different things, heard together: their errors differ, so the mean of both errs less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.registry import feature_facts
from gaussavatar.audio.own_range import RangeMatch


def heard_together(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """The features of two networks, each once, the first one's in front."""
    return (*first, *(name for name in second if name not in first))


def places_of(names: tuple[str, ...], among: tuple[str, ...]) -> Int[Tensor, "k"]:
    """Where the numbers of some features stand in a joint frame; none of them needs to be installed for that."""
    edges = np.cumsum([0, *(feature_facts(name).dimension for name in among)])
    spans = {name: torch.arange(int(a), int(b)) for name, a, b in zip(among, edges[:-1], edges[1:], strict=True)}
    return torch.cat([spans[name] for name in names])


def blend_config(first: EncoderConfig, second: EncoderConfig) -> EncoderConfig:
    """What a blend hears, as an encoder's config says it."""
    names = heard_together(first.features, second.features)
    return replace(first, features=names, width=len(places_of(names, names)), own_range=True)


class Blend(nn.Module):
    """An audio encoder made of two: ``share`` of the second one's answer, the rest of the first one's."""

    centre: Tensor

    def __init__(self, first: AudioEncoder, second: AudioEncoder, share: float) -> None:
        super().__init__()
        self.first, self.second, self.share = first, second, share
        self.config = blend_config(first.config, second.config)
        self._columns = [places_of(one.config.features, self.config.features) for one in (first, second)]
        self.register_buffer("centre", (1 - share) * first.centre + share * second.centre)
        self.range = RangeMatch(first.config.n_codes)

    def forward(self, windows: Float[Tensor, "b w d"], ood: float = 0.0) -> Float[Tensor, "b n_codes"]:
        """Mouth codes of windows over all features of both; ``ood``: see :meth:`AudioEncoder.forward`."""
        first, second = (windows[..., columns.to(windows.device)] for columns in self._columns)
        return (1 - self.share) * self.first(first, ood) + self.share * self.second(second, ood)
