"""What first words tell of a voice: the level and the bands of all that it will say, and whether it is one known."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features.mel import MEL
from gaussavatar.audio.features.mel_foreseen import foreseen_mel
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.normalise import AudioStatistics, StatisticsSoFar, of_columns
from tests.unit.audio.sounds import babble

NAMES = ("mean", "std", "floor", "quiet")


def foreseen(mel: np.ndarray) -> AudioStatistics:
    return MEL.foreseen(mel, MEL.statistics(mel))


@pytest.mark.parametrize("seconds", [0.1, 0.5, 3.0])
def test_a_gain_of_the_sound_shifts_what_is_foreseen_by_as_much(seconds: float) -> None:
    mel = babble(400, seed=3)[: round(100 * seconds) + 40]
    quiet, loud = foreseen(mel), foreseen(mel + np.float32(5.0))
    for name in ("mean", "floor", "quiet"):
        np.testing.assert_allclose(getattr(loud, name), getattr(quiet, name) + 5.0, atol=1e-4)
    np.testing.assert_array_equal(loud.std, quiet.std)


def test_what_is_foreseen_goes_over_to_what_was_heard() -> None:
    own = MEL.statistics(babble(400))
    away = [np.abs(foreseen_mel(own, 3.0, seconds).mean - own.mean).mean() for seconds in (0.2, 1.0, 5.0, 30.0)]
    assert away == sorted(away, reverse=True)
    assert away[0] > 10 * away[-1]
    assert foreseen_mel(own, 3.0, 0.0).mean.tolist() == own.mean.tolist()


def test_noise_without_speech_stays_what_it_is() -> None:
    noise = np.random.default_rng(0).normal(-14.0, 0.5, (300, 40)).astype(np.float32)
    own = MEL.statistics(noise)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(MEL.foreseen(noise, own), name), getattr(own, name))


def voice(tilt: float, seed: int) -> np.ndarray:
    """Made-up speech whose bands fall by so many nats from the lowest to the highest, as voices do."""
    mel = babble(700, seed)
    return np.maximum(mel + np.linspace(0.5 * tilt, -0.5 * tilt, 40, dtype=np.float32), -18.0)


def test_first_words_foresee_the_mean_of_all_words() -> None:
    before, after = [], []
    for seed in range(6):
        mel = voice(6.0, seed)
        whole, begun = MEL.statistics(mel), mel[:60]
        before.append(np.abs(MEL.statistics(begun).mean - whole.mean).mean())
        after.append(np.abs(foreseen(begun).mean - whole.mean).mean())
    assert np.mean(after) < 0.9 * np.mean(before)


def test_a_voice_that_is_known_is_told_from_another_one() -> None:
    known = MEL.statistics(voice(6.0, 0))
    same, other = MEL.statistics(voice(6.0, 0)[:350]), MEL.statistics(voice(-3.0, 1)[:350])
    assert MEL.recognised(known, same, 2.0) > 0.9
    assert MEL.recognised(known, other, 2.0) < 0.1
    silence = MEL.statistics(np.full((50, 40), -25.3, np.float32))
    assert MEL.recognised(known, silence, 0.0) < 0.1


def test_features_heard_together_foresee_their_own_columns() -> None:
    both = open_features(("mel", "viseme"))
    rng = np.random.default_rng(0)
    raw = np.concatenate([voice(6.0, 0)[:80], rng.normal(size=(80, 29)).astype(np.float32)], 1)
    own = both.statistics(raw)
    told = both.foreseen(raw, own)  # type: ignore[attr-defined]
    for name in NAMES:
        mel = getattr(foreseen(raw[:, :40]), name)
        np.testing.assert_array_equal(getattr(of_columns(told, slice(0, 40)), name), mel)
    assert np.abs(told.mean - own.mean)[40:64].min() > 0
    np.testing.assert_array_equal(told.mean[64:], own.mean[64:])
    assert both.recognised(own, own, 2.0) > 0.9  # type: ignore[attr-defined]


def test_a_known_voice_counts_as_far_as_it_is_recognised() -> None:
    mel, known = voice(6.0, 0)[:200], MEL.statistics(voice(-3.0, 1))

    def after(share: float) -> AudioStatistics:
        heard = StatisticsSoFar(MEL.statistics, MEL.activity, 100, known, recognised=lambda *_: share)
        assert heard.statistics is None
        heard.hear(mel)
        assert heard.statistics is not None
        return heard.statistics

    sure = StatisticsSoFar(MEL.statistics, MEL.activity, 100, known)
    sure.hear(mel)
    assert sure.statistics is not None
    np.testing.assert_allclose(after(1.0).mean, sure.statistics.mean)
    np.testing.assert_allclose(after(0.0).mean, MEL.statistics(mel).mean, atol=1e-5)
