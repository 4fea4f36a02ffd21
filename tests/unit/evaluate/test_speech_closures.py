from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.bench.closure import voice_silence
from gaussavatar.evaluate.speech_closures import (
    SHUT,
    closures,
    lip_range,
    person_rest,
    phone_closures,
    real_closures,
    rest_figures,
    settled,
    silence_figures,
)
from gaussavatar.landmarks.indices import LIP_GAP_PAIRS, OUTER_EYE_CORNERS
from gaussavatar.synthetic.speech import SILENCE, Phone
from gaussavatar.types import FaceMotion

PHONES = (
    Phone(SILENCE, 0.0, 0.6),
    Phone("m", 0.6, 0.72),
    Phone("a", 0.72, 0.92),
    Phone("b", 0.92, 1.04),
    Phone("i", 1.04, 1.2),
    Phone("o", 1.2, 1.4),
)


def opening_of(values: dict[str, float]) -> np.ndarray:
    centres = (np.arange(35) + 0.5) / 25
    out = np.zeros(35)
    for phone in PHONES:
        out[(centres >= phone.start) & (centres < phone.end)] = values[phone.symbol]
    return out


def one_code_face() -> tuple[FaceMotion, np.ndarray]:
    """A face whose only code opens the lips; its eyes are 0.1 m apart."""
    shape = np.zeros((478, 3), np.float32)
    shape[OUTER_EYE_CORNERS[1], 0] = 0.1
    basis = np.zeros((1, 478, 3), np.float32)
    for upper, lower in LIP_GAP_PAIRS:
        shape[lower, 1] = shape[upper, 1] + 0.004
        basis[0, lower, 1] = 0.002
    codes = np.linspace(-1, 3, 101, dtype=np.float32)[:, None]
    nothing = np.zeros(101, np.float32)
    upper_face = np.zeros((101, 0), np.float32)
    return FaceMotion(codes, basis, upper_face, np.zeros((0, 478, 3), np.float32), (), nothing, nothing), shape


def test_opening_is_zero_at_the_closed_code_and_one_at_the_wide_one() -> None:
    motion, shape = one_code_face()
    lips = lip_range(motion, shape, np.array([-1.0], np.float32), np.ones(101, bool))
    wide = np.percentile(motion.mouth_codes, 95)
    opening = lips.opening(np.array([[-1.0], [wide], [(wide - 1) / 2]], np.float32))
    np.testing.assert_allclose(opening, [0.0, 1.0, 0.5], atol=1e-3)


def test_labials_that_stay_open_are_told_from_those_that_close() -> None:
    speaking = {SILENCE: 0.0, "a": 1.0, "i": 0.4, "o": 0.8}
    good = phone_closures(opening_of(speaking | {"m": 0.1, "b": 0.05}), PHONES)
    half = phone_closures(opening_of(speaking | {"m": 0.1, "b": 0.6}), PHONES)
    mumbled = phone_closures(np.full(35, 0.1), PHONES)
    assert (good["labials"], good["labials_closed"], good["vowels_closed"]) == (2, 1.0, 0.0)
    assert half["labials_closed"] == 0.5
    assert mumbled["labials_closed"] == 1.0 and mumbled["vowels_closed"] == 1.0
    assert good["labial_opening"] < half["labial_opening"]


def test_silence_is_measured_apart_from_speech() -> None:
    opening = opening_of({SILENCE: 0.1, "m": 0.5, "a": 0.9, "b": 0.5, "i": 0.5, "o": 0.9})
    silent = np.arange(35) < 15
    figures = silence_figures(opening, silent)
    assert figures["silence_opening"] == pytest.approx(0.1) and figures["speech_opening"] > 0.5
    assert figures["silence_closed"] == 1.0
    assert np.isnan(silence_figures(opening, np.zeros(35, bool))["silence_opening"])
    voiced = voice_silence(opening, PHONES)
    assert voiced["voice_silence_opening"] == pytest.approx(0.1)
    assert voiced["voice_vowel_opening"] > 0.7


def test_closures_are_found_missed_and_invented() -> None:
    real = np.ones(60)
    real[[10, 11, 30, 50]] = 0.1
    assert closures(real).tolist() == [10, 30, 50]
    predicted = np.ones(60)
    predicted[[13, 31, 40]] = SHUT / 2  # In time, in time, where nothing closes; the third real one is missed.
    figures = real_closures(predicted, real)
    assert figures["real_closures"] == 3 and figures["made_closures"] == 3
    assert figures["closure_recall"] == pytest.approx(1 / 3)
    assert figures["false_closures"] == pytest.approx(1 / 3)
    assert real_closures(real, real)["closure_recall"] == 1.0
    assert np.isnan(real_closures(np.ones(60), real)["false_closures"])


def test_chance_is_the_share_of_windows_of_the_same_length_that_are_closed() -> None:
    opening = np.ones(35)
    opening[15:18] = 0.0  # The m, and nothing else; the b stays open.
    figures = phone_closures(opening, PHONES)
    assert figures["labials_closed"] == 0.5
    assert 0.1 < figures["labials_chance"] < 0.5
    assert np.isnan(phone_closures(opening, ())["labials_closed"])
    always = real_closures(np.zeros(60), np.tile([0.0, 1.0, 1.0, 1.0, 1.0, 1.0], 10))
    assert always["closure_recall"] == always["closure_recall_chance"] == 1.0
    assert always["false_closures_chance"] < 0.3


def test_names_in_ipa_are_known_by_their_first_letter() -> None:
    phones = (Phone("pb", 0.0, 0.2), Phone("ɑː", 0.2, 0.6), Phone("", 0.6, 1.0))
    opening = np.where((np.arange(25) + 0.5) / 25 < 0.2, 0.0, 1.0)
    figures = phone_closures(opening, phones)
    assert figures["labials"] == 1 and figures["labials_closed"] == 1.0 and figures["vowels_closed"] == 0.0


def test_rest_counts_neither_the_first_nor_the_last_frames_of_a_silence() -> None:
    silent = np.zeros(60, bool)
    silent[20:40] = True
    opening = np.ones(60)
    opening[23:37] = 0.1
    figures = rest_figures(opening, silent)
    assert figures["silent_frames"] == 14 and figures["silence_at_rest"] == 1.0
    assert figures["silence_at_rest_chance"] == 0.0
    assert settled(np.ones(5, bool)).all()
    agape = np.where(silent, 0.4, 1.0)
    assert rest_figures(agape, silent)["silence_at_rest"] == 0.0
    kept_open = rest_figures(agape, silent, rest=0.4)
    assert kept_open["silence_at_rest"] == 1.0 and kept_open["silence_closed"] == 0.0
    assert person_rest(agape, silent) == 0.0  # Fourteen frames are too few to know.
    assert person_rest(np.full(60, 0.4), np.ones(60, bool)) == pytest.approx(0.4)
