"""Voices to measure with: different, timed, and there without any engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.audio.energy import frame_level_db
from gaussavatar.audio.prior.engine import Spoken
from gaussavatar.errors import UserError
from gaussavatar.synthetic import strangers
from gaussavatar.synthetic.strangers import EDGE_SECONDS, OWN, engine_voices, own_voices, recordings, strange_voices


class Engine:
    """Draws one of three voices; the third names a sound that nobody knows."""

    name = "engine"
    languages = ("en",)

    def say(self, text: str, language: str, chance: np.random.Generator) -> tuple[str, Spoken | None]:
        voice = int(chance.integers(3))
        phones = [("m", 0.0, 0.1), ("ˈaʊ", 0.1, 0.4), ("☃" if voice == 2 else "", 0.4, 0.5)]
        return f"v{voice}", Spoken(np.full(4000, 0.1, np.float32), 8000, phones)


def test_an_engine_is_asked_until_it_has_spoken_with_enough_voices() -> None:
    voices = engine_voices(Engine(), "en", 3)
    assert sorted(v.name for v in voices) == ["engine v0", "engine v1"]
    voice = voices[0]
    assert voice.waveform.rate == 16000 and voice.waveform.seconds == pytest.approx(0.5 + 2 * EDGE_SECONDS)
    assert [s.symbol for s in voice.sounds] == ["", "m", "a", "u", "", ""]
    assert voice.sounds[1].start == pytest.approx(EDGE_SECONDS) and voice.sounds[-1].end == voice.waveform.seconds


def test_without_engines_the_demo_speaks_in_different_throats(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Engine:
        raise UserError("an engine", "none", "install one")

    monkeypatch.setattr(strangers, "Flite", missing)
    monkeypatch.setattr(strangers, "Espeak", missing)
    voices, notes = strange_voices()
    assert len(voices) == len(OWN) == 8 and len(notes) == 2 and "install one" in notes[0]
    assert len({v.name for v in voices}) == 8 and len({v.text for v in voices}) == 1
    assert {v.sounds for v in voices} == {voices[0].sounds}


def test_own_voices_are_in_time_and_differ() -> None:
    voices = own_voices()
    levels = [frame_level_db(v.waveform, 300) for v in voices]
    for level in levels[1:]:
        assert np.corrcoef(level, levels[0])[0, 1] > 0.8
    assert not np.allclose(voices[0].waveform.samples, voices[-1].waveform.samples, atol=0.05)


def test_a_recording_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(UserError):
        recordings([tmp_path / "a.wav"])
