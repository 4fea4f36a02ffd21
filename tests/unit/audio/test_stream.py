from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features.mel import MEL
from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.types import ANALYSIS_RATE, Waveform


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 161, 4321, 48000])
def test_pieces_give_the_whole(n_samples: int) -> None:
    rng = np.random.default_rng(n_samples)
    samples = rng.standard_normal(n_samples).astype(np.float32) * 0.1
    stream, parts, at = MEL.stream(), [], 0
    while at < n_samples:
        step = int(rng.integers(1, 1000))
        parts.append(stream.push(samples[at : at + step]))
        at += step
    parts.append(stream.finish())
    whole = log_mel(Waveform(samples, ANALYSIS_RATE))
    assert np.concatenate(parts).shape == whole.shape
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-5)
