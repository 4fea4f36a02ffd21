from __future__ import annotations

import numpy as np

from gaussavatar.audio.features.mel import mel_statistics
from gaussavatar.audio.features.mel_bands import MEL_RATE, log_mel
from gaussavatar.audio.normalise import RunningNormaliser, normalise

from .sounds import own_normalised, speech_like


def fresh() -> RunningNormaliser:
    return RunningNormaliser(mel_statistics, MEL_RATE)


def test_running_normalisation_ignores_the_pieces_and_ends_near_the_whole_file() -> None:
    mel = log_mel(speech_like(20.0, seed=3))
    whole_push = fresh().push(mel)
    rng = np.random.default_rng(0)
    normaliser, parts, at = fresh(), [], 0
    while at < len(mel):
        step = int(rng.integers(1, 90))
        parts.append(normaliser.push(mel[at : at + step]))
        at += step
    np.testing.assert_allclose(np.concatenate(parts), whole_push, atol=1e-6)
    late, offline = whole_push[-500:], own_normalised(mel)[-500:]
    assert np.abs(late - offline).mean() < 0.1
    assert np.abs(whole_push[:20] - own_normalised(mel)[:20]).mean() > np.abs(late - offline).mean()


def test_running_normalisation_never_looks_ahead() -> None:
    mel = log_mel(speech_like(4.0, seed=5))
    changed = mel.copy()
    changed[200:] += 3.0
    np.testing.assert_array_equal(
        fresh().push(mel)[:200],
        fresh().push(changed)[:200],
    )


def test_initial_statistics_serve_from_the_first_frame() -> None:
    mel = log_mel(speech_like(10.0, seed=6))
    known = mel_statistics(mel)
    offline = normalise(mel, known)
    with_start = np.abs(RunningNormaliser(mel_statistics, MEL_RATE, known).push(mel) - offline)[:100].mean()
    without = np.abs(fresh().push(mel) - offline)[:100].mean()
    assert with_start < 0.5 * without
