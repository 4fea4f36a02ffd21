"""A long sound is heard in pieces, and nothing tells that it was."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features import pieces
from gaussavatar.audio.features.mel import MEL
from gaussavatar.media.samples import finite
from gaussavatar.types import ANALYSIS_RATE, Waveform


@pytest.mark.parametrize("samples", [12 * 16_000, 13 * 16_000 + 159, 10 * 16_000 + 1])
def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    sound = Waveform(np.random.default_rng(1).uniform(-1, 1, samples).astype(np.float32), ANALYSIS_RATE)
    whole = MEL.extract(sound)
    for name, seconds in (("WHOLE_SECONDS", 2), ("PIECE_SECONDS", 3), ("MARGIN_SECONDS", 1)):
        monkeypatch.setattr(pieces, name, seconds)
    # A matrix product of another number of rows may differ in its last bit.
    np.testing.assert_allclose(pieces.extract_in_pieces(MEL, sound), whole, atol=2e-5)


def test_a_number_that_is_none_is_found_anywhere() -> None:
    samples = np.zeros((1 << 20) + 5, np.float32)
    assert finite(samples)
    samples[-1] = np.inf
    assert not finite(samples)
