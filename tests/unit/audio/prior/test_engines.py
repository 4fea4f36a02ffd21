"""The engines themselves, where they are installed, and what they give the corpus."""

from __future__ import annotations

import ctypes.util
import shutil

import numpy as np
import pytest

from gaussavatar.audio.features.mel_bands import MEL_RATE
from gaussavatar.audio.features.viseme_network import CLASSES
from gaussavatar.audio.prior import espeak, flite
from gaussavatar.audio.prior.corpus import make_corpus
from gaussavatar.audio.prior.engine import SpeechEngine
from gaussavatar.audio.prior.espeak import ACCENTS, Espeak
from gaussavatar.audio.prior.flite import Flite
from gaussavatar.audio.prior.sentences import SENTENCES, something_to_say
from gaussavatar.errors import UserError

HISSING = [CLASSES.index(name) for name in ("sz", "sh", "fv")]


@pytest.fixture(params=["espeak-ng", "flite"])
def engine(request: pytest.FixtureRequest) -> SpeechEngine:
    if request.param == "flite":
        if shutil.which("flite") is None:
            pytest.skip("flite is not installed")
        return Flite()
    if ctypes.util.find_library("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    return Espeak()


def test_labels_lie_where_the_sound_is(engine: SpeechEngine) -> None:
    corpus = make_corpus([engine], 0.8, seed=3)
    r = {lag: [] for lag in range(-5, 6)}
    for one in corpus:
        if not np.isin(one.kinds[5:-5], HISSING).any():
            continue
        tilt = one.mel[::2, 30:].mean(1) - one.mel[::2, :15].mean(1)
        hissing = np.isin(one.kinds, HISSING).astype(float)
        for lag in r:
            r[lag].append(np.corrcoef(tilt[5 + lag : len(tilt) - 5 + lag], hissing[5:-5])[0, 1])
    mean = {lag: float(np.mean(values)) for lag, values in r.items()}
    assert abs(max(mean, key=mean.__getitem__)) <= 1  # One frame is 20 ms.
    assert mean[0] > 0.4
    loud = np.concatenate([one.mel[::2].max(1) for one in corpus])
    silent = np.concatenate([one.kinds for one in corpus]) == 0
    assert np.median(loud[silent]) < np.median(loud[~silent]) - 5.0


def test_a_corpus_is_a_function_of_its_seed(engine: SpeechEngine) -> None:
    first, again, other = (make_corpus([engine], 0.15, seed) for seed in (1, 1, 2))
    assert [one.voice for one in first] == [one.voice for one in again] != [one.voice for one in other]
    # Espeak keeps something from sentence to sentence: it repeats itself exactly in a fresh process only.
    exact = 0 if engine.name == "flite" else 10
    assert all(abs(len(a.mel) - len(b.mel)) <= exact for a, b in zip(first, again, strict=True))
    assert all(len(one.mel) == 2 * len(one.kinds) == 2 * len(one.mouth) for one in first)
    assert sum(len(one.mel) for one in first) / MEL_RATE >= 9.0


def test_every_language_is_spoken_and_understood(engine: SpeechEngine) -> None:
    chance = np.random.default_rng(0)
    for language in sorted(set(engine.languages)):
        said = [engine.say(something_to_say(language, chance), language, chance)[1] for _ in range(4)]
        assert any(one is not None and len(one.phones) > 5 for one in said), language


def test_sentences_are_of_languages_that_are_spoken() -> None:
    assert set(SENTENCES) <= set(ACCENTS) == set(Espeak.languages)


def test_a_missing_engine_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(espeak.ctypes, "CDLL", absent)
    with pytest.raises(UserError, match="espeak-ng, got a machine without its library; .*apt-get install espeak-ng"):
        Espeak()
    monkeypatch.setattr(flite.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="the program flite, .*apt-get install flite"):
        Flite()
