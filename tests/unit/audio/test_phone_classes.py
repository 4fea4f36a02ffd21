from __future__ import annotations

import pytest

from gaussavatar.audio.phone_classes import CLASSES, LABIALS, SILENCE, VOWELS, shares_of


@pytest.mark.parametrize(
    ("phone", "wanted"),
    [
        ("m", {"m": 1.0}),
        ("pʰ", {"pb": 1.0}),
        ("t͡ʃ", {"sh": 1.0}),
        ("ʃ", {"sh": 1.0}),
        ("aɪ", {"a": 0.5, "i": 0.5}),
        ("wa", {"w": 0.5, "a": 0.5}),
        ("õ", {"o": 1.0}),
        ("kʰ", {"kg": 1.0}),
        ("ʰ", {}),
        ("ː", {}),
        ("²", {}),
    ],
)
def test_a_phone_has_its_classes(phone: str, wanted: dict[str, float]) -> None:
    assert {CLASSES[k]: share for k, share in shares_of(phone).items()} == wanted


def test_the_named_groups_are_what_they_say() -> None:
    assert CLASSES[SILENCE] == "sil"
    assert [CLASSES[k] for k in LABIALS] == ["pb", "m"]
    assert [CLASSES[k] for k in VOWELS] == ["i", "e", "a", "V", "o", "u", "y"]
    assert all(set(shares_of(CLASSES[k][:1])) == {k} for k in (*LABIALS, 3, 5, 6))
