"""Predicted mouths become as wide and as often shut as the person's, and nothing else changes."""

from __future__ import annotations

import numpy as np
import torch

from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.own_range import WIDEST, fit_own_range, piecewise, unchanged

OPENING = np.array([0.3, 0.1, 0.0])


def a_person(n: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real codes, their aperture, and timid predictions of them: a third of the deviation, and noise."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((n, 3))
    # Lips rest on each other for a third of the time.
    real[:, 0] = np.maximum(real[:, 0], -0.4)
    aperture = real @ OPENING + 0.2
    predicted = 0.6 * real + 0.2 * rng.standard_normal((n, 3))
    return real, aperture, predicted


def an_encoder(own) -> AudioEncoder:
    encoder = AudioEncoder(EncoderConfig(3, hidden=8, members=1, own_range=True))
    assert encoder.range is not None
    encoder.range.learn(own)
    return encoder


def test_openings_are_spread_as_the_persons_own() -> None:
    real, aperture, predicted = a_person()
    wide = an_encoder(fit_own_range(predicted, real, aperture, np.zeros(3))).in_own_range(
        torch.from_numpy(predicted).float()
    )
    opening, shown = wide.numpy() @ OPENING, real @ OPENING
    assert abs(opening.std() / shown.std() - 1.0) < 0.02
    shut = np.quantile(shown, 0.3) + 0.01
    assert abs((opening < shut).mean() - (shown < shut).mean()) < 0.03
    timid = predicted @ OPENING
    assert timid.std() / shown.std() < 0.75
    # The order in time is kept.
    assert np.corrcoef(opening, shown)[0, 1] > np.corrcoef(timid, shown)[0, 1] - 0.02


def test_what_is_told_wrong_is_not_widened() -> None:
    real, aperture, predicted = a_person()
    predicted[:, 2] = 0.2 * np.random.default_rng(1).standard_normal(len(real))
    own = fit_own_range(predicted, real, aperture, np.zeros(3))
    assert own.gain[2] < 1.1 and 1.0 <= own.gain.min() and own.gain.max() <= WIDEST
    assert abs(float(own.toward @ own.opening) - 1.0) < 1e-5


def test_a_range_that_is_not_known_changes_nothing() -> None:
    codes = torch.randn((20, 3), generator=torch.Generator().manual_seed(0))
    assert torch.equal(an_encoder(unchanged(3)).in_own_range(codes), codes)
    assert torch.equal(AudioEncoder(EncoderConfig(3, members=1)).in_own_range(codes), codes)
    still = fit_own_range(np.zeros((100, 3)), np.zeros((100, 3)), np.zeros(100), np.zeros(3))
    assert torch.equal(an_encoder(still).in_own_range(codes), codes)


def test_beyond_the_ends_the_match_goes_on_one_for_one() -> None:
    heard, own = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([-2.0, 0.0, 3.0])
    x = torch.tensor([-3.0, -1.0, -0.5, 1.0, 2.0, 5.0])
    np.testing.assert_allclose(piecewise(x, heard, own).numpy(), [-4.0, -2.0, -1.0, 1.5, 3.0, 6.0])
