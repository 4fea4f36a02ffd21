"""Two networks that hear different things, heard together: their errors differ, so the mean of both errs less."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.join import JoinedFeature
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.own_range import RangeMatch


def heard_together(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """The features of two networks, each once, the first one's in front."""
    return (*first, *(name for name in second if name not in first))


def blend_config(first: EncoderConfig, second: EncoderConfig) -> EncoderConfig:
    """What a blend hears, as an encoder's config says it.

    Raises:
        UserError: a feature is not known or not installed here.
    """
    facts = open_features(heard_together(first.features, second.features)).facts
    return replace(first, features=facts.names, width=facts.dimension, own_range=True)


class Blend(nn.Module):
    """An audio encoder made of two: ``share`` of the second one's answer, the rest of the first one's."""

    centre: Tensor

    def __init__(self, first: AudioEncoder, second: AudioEncoder, share: float) -> None:
        super().__init__()
        self.first, self.second, self.share = first, second, share
        self.config = blend_config(first.config, second.config)
        feature = open_features(self.config.features)
        names = (first.config.features, second.config.features)
        joined = isinstance(feature, JoinedFeature)
        every = list(range(feature.facts.dimension))
        columns = [feature.columns_of(one) if joined else every for one in names]
        self._columns = [torch.as_tensor(one) for one in columns]
        self.register_buffer("centre", (1 - share) * first.centre + share * second.centre)
        self.range = RangeMatch(first.config.n_codes)

    def forward(self, windows: Float[Tensor, "b w d"]) -> Float[Tensor, "b n_codes"]:
        """Mouth codes of windows over all features of both."""
        first, second = (windows[..., columns.to(windows.device)] for columns in self._columns)
        return (1 - self.share) * self.first(first) + self.share * self.second(second)

    def in_own_range(self, codes: Float[Tensor, "b n_codes"]) -> Float[Tensor, "b n_codes"]:
        """See :meth:`gaussavatar.audio.encoder.AudioEncoder.in_own_range`."""
        return self.range(codes, self.centre)
