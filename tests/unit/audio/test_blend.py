"""Two networks heard together."""

from __future__ import annotations

import pytest
import torch

from gaussavatar.audio.blend import Blend, heard_together, places_of
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig, heard_by
from gaussavatar.audio.features.registry import feature_facts

from .sounds import generator


def network(features: tuple[str, ...], centre: float) -> AudioEncoder:
    width = sum(feature_facts(name).dimension for name in features)
    encoder = AudioEncoder(EncoderConfig(3, hidden=8, members=1, features=features, width=width)).eval()
    encoder.centre.fill_(centre)
    return encoder


def test_each_hears_its_own_features_and_the_answer_is_their_mean() -> None:
    first, second = network(("mel",), 1.0), network(("mel", "viseme"), 2.0)
    blend = Blend(first, second, 0.3).eval()
    assert blend.config.features == ("mel", "viseme") and heard_by(blend.config).facts.dimension == blend.config.width
    windows = torch.randn((4, 33, blend.config.width), generator=generator())
    wanted = 0.7 * first(windows[..., :40]) + 0.3 * second(windows)
    torch.testing.assert_close(blend(windows), wanted)
    torch.testing.assert_close(blend.centre, torch.full((3,), 1.3))
    torch.testing.assert_close(blend.range(wanted, blend.centre), wanted)


def test_what_one_needs_does_not_have_to_be_installed_to_know_where_it_stands() -> None:
    among = heard_together(("mel", "hama"), ("mel", "viseme"))
    assert among == ("mel", "hama", "viseme")
    place = places_of(("mel", "viseme"), among)
    hama, viseme = feature_facts("hama").dimension, feature_facts("viseme").dimension
    assert place.tolist() == [*range(40), *range(40 + hama, 40 + hama + viseme)]
    with pytest.raises(KeyError):
        places_of(("pitch",), among)
