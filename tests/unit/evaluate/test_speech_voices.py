"""Strange voices: openings whose agreement, lag and closures are known."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.energy import frame_energy
from gaussavatar.evaluate.speech_voices import (
    Person,
    Sound,
    Voice,
    agreement,
    aligned,
    labial_lag,
    lip_lag,
    other_tracts,
    summary,
    voice_figures,
    voices_figures,
)
from gaussavatar.synthetic.speech import SILENCE, Phone, babble
from gaussavatar.synthetic.voice import speak_phones
from gaussavatar.types import Waveform

PERSON = Person(std=0.3)


def voice_of(phones: tuple[Phone, ...], name: str = "a", pace: float = 1.0, pitch: float = 120.0) -> Voice:
    slow = tuple(Phone(p.symbol, p.start * pace, p.end * pace, p.stress) for p in phones)
    sounds = tuple(Sound("" if p.symbol == SILENCE else p.symbol, p.start, p.end) for p in slow)
    return Voice(name, "engine", "", "text", speak_phones(slow, 0, pitch_hz=pitch), sounds)


def ideal_lips(voice: Voice, late: float = 0.0) -> np.ndarray:
    """Lips that are open in vowels and closed in labials and silence, ``late`` seconds after the sound."""
    centres = (np.arange(round(voice.waveform.seconds * 25)) + 0.5) / 25 - late
    height = {"": 0.0, "m": 0.0, "b": 0.0, "p": 0.0, "a": 1.0, "o": 0.8, "e": 0.7, "i": 0.5, "u": 0.4, "@": 0.5}
    at = np.searchsorted([s.start for s in voice.sounds], centres, side="right") - 1
    return np.array([height.get(voice.sounds[max(k, 0)].symbol, 0.35) for k in at])


PHONES = babble(9.0, 7)


def test_lips_of_a_slower_voice_agree_with_those_of_a_quick_one() -> None:
    voices = [voice_of(PHONES, "a"), voice_of(PHONES, "b", pace=1.3), voice_of(PHONES, "c", pace=0.85)]
    curves, spoken = aligned([ideal_lips(v) for v in voices], voices)
    found = agreement(curves, spoken)
    assert found["agreement"] > 0.85 and found["worst"] > 0.8 and found["agreement_spoken"] < found["agreement"]
    assert abs(found["chance"]) < 0.4
    assert not spoken.all() and spoken[0] and spoken[-1]
    same, spoken = aligned([ideal_lips(voices[0])] * 2, [voices[0]] * 2)
    assert agreement(same, spoken)["agreement"] == pytest.approx(1.0)


def test_a_voice_that_makes_other_lips_is_the_worst_one() -> None:
    voices = [voice_of(PHONES, "a"), voice_of(PHONES, "b", pace=1.1), voice_of(PHONES, "c")]
    openings = [ideal_lips(v) for v in voices]
    openings[2] = np.random.default_rng(0).uniform(size=len(openings[2]))
    found = agreement(*aligned(openings, voices))
    assert found["worst"] < 0.25 < found["agreement"]


def test_missing_sounds_do_not_move_the_others() -> None:
    voice = voice_of(PHONES)
    other = Voice("b", "engine", "", "text", voice.waveform, voice.sounds[:10] + voice.sounds[14:])
    lips = ideal_lips(voice)
    curves, _ = aligned([lips, lips], [voice, other])
    np.testing.assert_allclose(curves[0], curves[1], atol=1e-9)


def test_a_recording_is_compared_with_itself_in_other_throats() -> None:
    voice = Voice("me", "real", "", "", voice_of(PHONES).waveform)
    made = other_tracts(voice, (0.8, 1.25))
    assert [round(v.waveform.seconds / voice.waveform.seconds, 3) for v in made] == [1.0, 1.25, 0.8]
    curves, spoken = aligned([frame_energy(v.waveform, round(v.waveform.seconds * 25)) for v in made], made)
    assert agreement(curves, spoken)["agreement"] > 0.9 and spoken.all()


def test_late_lips_are_found_late() -> None:
    voice = voice_of(PHONES)
    in_time, late = (lip_lag(voice.waveform, ideal_lips(voice, seconds))[0] for seconds in (0.0, 0.08))
    assert late - in_time == pytest.approx(80, abs=10)
    assert labial_lag(ideal_lips(voice, 0.08), voice.sounds) - labial_lag(ideal_lips(voice), voice.sounds) > 30
    assert np.isnan(lip_lag(Waveform(np.zeros(16000, np.float32), 16000), np.zeros(25))[0])


def test_figures_of_one_voice() -> None:
    voice = voice_of(PHONES)
    good = voice_figures(voice, ideal_lips(voice), PERSON)
    dead = voice_figures(voice, np.zeros(225), PERSON)
    agape = voice_figures(voice, np.full(225, 0.8), PERSON)
    assert good["labials_closed"] == 1.0 > good["labials_chance"] and good["vowels_closed"] == 0.0
    assert dead["labials_closed"] == dead["labials_chance"] == 1.0 and dead["amplitude"] == 0.0
    assert agape["labials_closed"] == agape["labials_chance"] == 0.0 and agape["silence_at_rest"] == 0.0
    assert 0.5 < good["amplitude"] < 1.5 and good["silence_at_rest"] > 0.9


def test_figures_of_all_voices_count_texts_and_labials() -> None:
    voices = [
        voice_of(PHONES, "a"),
        voice_of(PHONES, "b", pitch=200.0),
        Voice("me", "real", "", "", voice_of(PHONES).waveform),
    ]
    steps = []
    found = voices_figures(voices, lambda w: frame_energy(w, round(w.seconds * 25)), PERSON, steps.append)
    assert steps == [1, 1, 1] and [row["name"] for row in found["voices"]] == ["a", "b", "me"]
    assert [text["voices"] for text in found["texts"]] == [2, 5]
    assert found["agreement"] > 0.8 and found["agreement_real"] > 0.8
    assert found["amplitude_lowest"] <= found["amplitude"] <= found["amplitude_highest"]
    rows = [
        {"kind": "engine", "amplitude": 1.0, "labials_closed": 1.0, "labials": 3},
        {"kind": "engine", "amplitude": 2.0, "labials_closed": 0.0, "labials": 1},
    ]
    assert summary(rows, [])["labials_closed"] == pytest.approx(0.75) and np.isnan(summary(rows, [])["lag_ms"])
