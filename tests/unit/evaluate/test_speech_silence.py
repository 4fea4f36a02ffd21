"""Silences: the hysteresis by known probabilities, and both sources on made-up speech."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from gaussavatar.evaluate import speech_silence
from gaussavatar.evaluate.speech_silence import MARGIN, silences, speech_spans
from gaussavatar.synthetic.speech import SILENCE, babble
from gaussavatar.synthetic.voice import speak_phones

STEP = 0.032


def spans_of(*runs: tuple[float, int]) -> list[tuple[float, float]]:
    return speech_spans(np.concatenate([np.full(n, p) for p, n in runs]), STEP)


def test_speech_begins_at_one_half_and_goes_on_through_short_dips() -> None:
    assert spans_of((0.1, 20), (0.9, 20), (0.1, 20)) == [pytest.approx((20 * STEP - MARGIN, 40 * STEP + MARGIN))]
    assert len(spans_of((0.9, 20), (0.1, 3), (0.9, 20), (0.1, 9))) == 1  # Under 100 ms.
    assert len(spans_of((0.9, 20), (0.1, 8), (0.9, 20), (0.1, 9))) == 2
    assert len(spans_of((0.9, 20), (0.4, 30), (0.9, 20))) == 1  # Between the thresholds nothing ends,
    assert spans_of((0.4, 50)) == []  # and nothing begins.
    assert spans_of((0.9, 5), (0.1, 30)) == []  # Under 250 ms.
    assert spans_of((0.9, 30)) == [pytest.approx((-MARGIN, 30 * STEP + MARGIN))]


@pytest.mark.parametrize("source", ["silero-vad", "energy"])
def test_pauses_of_made_up_speech_are_found(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if source == "energy":
        monkeypatch.setattr(speech_silence, "silero_weights", lambda: None)
    elif find_spec("silero_vad") is None:
        pytest.skip("silero-vad is not installed")
    phones = babble(12.0, 3, lead=1.0, tail=1.0)
    silent, told = silences(speak_phones(phones), 300)
    assert told == source
    centres = (np.arange(300) + 0.5) / 25
    truth = np.zeros(300, bool)
    for phone in phones:
        if phone.symbol == SILENCE and phone.end - phone.start > 0.5:
            truth |= (centres > phone.start + 0.15) & (centres < phone.end - 0.15)
    assert silent[truth].mean() > 0.8
    spoken = np.zeros(300, bool)
    for phone in phones:
        if phone.symbol in "aeiou":
            spoken |= (centres > phone.start) & (centres < phone.end)
    assert silent[spoken].mean() < 0.1
