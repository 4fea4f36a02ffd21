from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features.viseme_network import ARTICULATION, CLASSES
from gaussavatar.audio.prior.phones import (
    INDEX,
    MOUTHS,
    SILENCE,
    Segment,
    UnknownPhone,
    classes_of,
    segments_of,
    targets_of,
)


def named(kinds: list[int]) -> str:
    return " ".join(CLASSES[kind] for kind in kinds)


@pytest.mark.parametrize(
    ("phone", "classes"),
    [("p", "pb"), ("tʃ", "td sh"), ("aɪ", "a i"), ("ɜː", "V"), ("ɑ̃", "a"), ("sʲ", "sz"), ("ˈ", ""), ("dʒ", "td sh")],
)
def test_phones_have_classes(phone: str, classes: str) -> None:
    assert named(classes_of(phone)) == classes


def test_a_letter_that_nobody_knows_is_not_guessed() -> None:
    with pytest.raises(UnknownPhone, match="'Ж'"):
        segments_of([("a", 0.0, 0.1), ("Ж", 0.1, 0.2)])


def test_phones_become_segments_without_gaps() -> None:
    told = segments_of([("", 0.0, 0.2), ("m", 0.2, 0.3), ("aɪ", 0.3, 0.5), ("ː", 0.5, 0.6), ("t", 0.6, 0.6)])
    assert named([one.kind for one in told]) == "sil m a i"
    assert [one.end for one in told[:-1]] == [one.start for one in told[1:]]
    assert told[2].end == pytest.approx(0.42) and told[-1].end == 0.6


def test_every_class_has_a_mouth() -> None:
    assert set(MOUTHS) == set(CLASSES) == set(INDEX)


def test_lips_close_in_a_labial_and_open_in_a_vowel() -> None:
    kinds = [SILENCE, INDEX["m"], INDEX["a"], INDEX["pb"], INDEX["u"], SILENCE]
    edges = [0.0, 0.5, 0.6, 0.8, 0.9, 1.1, 1.5]
    segments = [Segment(a, b, kind) for a, b, kind in zip(edges[:-1], edges[1:], kinds, strict=True)]
    told, mouth = targets_of(segments, 75)
    assert told[27] == INDEX["m"] and told[35] == INDEX["a"] and told[70] == SILENCE
    opening, rounding, _, closure = mouth.T
    assert mouth.shape == (75, len(ARTICULATION))
    assert opening[27] < 0.1 < 0.6 < opening[35] and opening[42] < 0.15
    assert closure[27] > 0.9 and closure[42] > 0.9 and closure[35] < 0.1
    assert rounding[50] > 0.7 > rounding[35]
    # The rounding of u is there before u is.
    assert rounding[44] > rounding[36]
    assert np.all((mouth >= 0) & (mouth <= 1))
