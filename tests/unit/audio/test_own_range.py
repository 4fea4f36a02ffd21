"""Predicted mouths become as wide and as often shut as the person's, and nothing else changes."""

from __future__ import annotations

import numpy as np
import torch

from gaussavatar.audio.own_range import LOUDEST, WIDEST, OwnRange, RangeMatch, fit_own_range, piecewise, unchanged

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


def matched(own: OwnRange, codes: np.ndarray, voice: tuple[float, float] = (1.0, 0.0)) -> np.ndarray:
    match = RangeMatch(3)
    match.learn(own)
    return match(torch.from_numpy(codes).float(), torch.zeros(3), voice).numpy()


def test_openings_are_spread_as_the_persons_own() -> None:
    real, aperture, predicted = a_person()
    wide = matched(fit_own_range(predicted, real, aperture, np.zeros(3)), predicted)
    opening, shown = wide @ OPENING, real @ OPENING
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
    codes = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    np.testing.assert_allclose(matched(unchanged(3), codes), codes, atol=1e-6)
    still = fit_own_range(np.zeros((100, 3)), np.zeros((100, 3)), np.zeros(100), np.zeros(3))
    np.testing.assert_allclose(matched(still, codes), codes, atol=1e-6)
    assert RangeMatch(3).of_voice(torch.from_numpy(codes), torch.zeros(3)) == (1.0, 0.0)


def test_a_voice_under_which_a_network_dares_less_moves_the_mouth_as_much_in_the_end() -> None:
    real, aperture, predicted = a_person()
    own, match = fit_own_range(predicted, real, aperture, np.zeros(3)), RangeMatch(3)
    match.learn(own)
    timid = (0.7 * predicted + 0.1).astype(np.float32)
    shown = (real @ OPENING).std()
    before = (matched(own, timid) @ OPENING).std() / shown
    scale, shift = match.of_voice(torch.from_numpy(timid), torch.zeros(3))
    after = (matched(own, timid, (scale, shift)) @ OPENING).std() / shown
    assert before < 0.8 and 0.95 < after < 1.05 and 1.3 < scale < 1.5
    # A second of it is hardly believed, the person's own voice is left as it is, and nothing is blown up.
    assert match.of_voice(torch.from_numpy(timid[:25]), torch.zeros(3))[0] < 1.2
    assert abs(match.of_voice(torch.from_numpy(predicted).float(), torch.zeros(3))[0] - 1.0) < 0.05
    assert match.of_voice(torch.from_numpy(0.01 * timid), torch.zeros(3))[0] <= LOUDEST


def test_beyond_the_ends_the_match_goes_on_one_for_one() -> None:
    heard, own = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([-2.0, 0.0, 3.0])
    x = torch.tensor([-3.0, -1.0, -0.5, 1.0, 2.0, 5.0])
    np.testing.assert_allclose(piecewise(x, heard, own).numpy(), [-4.0, -2.0, -1.0, 1.5, 3.0, 6.0])
