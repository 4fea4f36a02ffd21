"""Sounds of speech as lips show them: IPA symbols in 22 classes that look alike."""

from __future__ import annotations

import unicodedata

_MEMBERS = {
    "sil": "",
    "pb": "pbɓβ",
    "m": "mɱ",
    "fv": "fvʋɸ",
    "th": "θð",
    "td": "tdɾʈɖʔ",
    "n": "nɲɳ",
    "l": "lɫʎɭʟ",
    "sz": "szɬ",
    "sh": "ʃʒɕʑʂʐɧ",
    "kg": "kɡgŋhxɣcɟçqɦʝɴħʕɰ",
    "r": "ɹɻrɽ",
    "R": "ʁχʀ",
    "w": "wɥʍ",
    "j": "j",
    "i": "iɪᵻɨ",
    "e": "eɛ",
    "a": "aæɑɐ",
    "V": "ʌəɜɚɝɘᵊɤ",
    "o": "oɔɒɵ",
    "u": "uʊɯ",
    "y": "yøœʏʉ",
}
CLASSES = tuple(_MEMBERS)
"""Sounds that lips can be told apart by: silence, consonants by place, vowels; ``V`` is the neutral vowel, ``R`` the
uvular r, ``kg`` holds all that is done at the back of the mouth."""

CLASS_OF = {symbol: k for k, (_, symbols) in enumerate(_MEMBERS.items()) for symbol in symbols}
"""The class of each symbol, without what modifies it."""

SILENCE, LABIALS, VOWELS = 0, (1, 2), tuple(range(15, 22))
"""Numbers of the class of silence, of those whose lips close, and of the vowels."""

_AFFRICATES = ("t͡ʃ", "d͡ʒ", "t͡ɕ", "d͡ʑ", "ʈ͡ʂ", "tʃ", "dʒ", "tɕ")


def shares_of(phone: str) -> dict[int, float]:
    """The classes of an IPA phone and how much of it belongs to each; {} for what is no phone of its own.

    Diacritics, lengths and tones are left out. A diphthong is half of each of its vowels, an affricate its fricative.

    Args:
        phone: one symbol with what modifies it, such as ``aɪ``, ``t͡ʃ`` or ``kʰ``.
    """
    if phone.startswith(_AFFRICATES):
        return {CLASSES.index("sh"): 1.0}
    plain = unicodedata.normalize("NFD", phone)
    found = [CLASS_OF[symbol] for symbol in plain if symbol in CLASS_OF][:2]
    if len(found) == 2 and not all(k in VOWELS or CLASSES[k] in ("w", "j") for k in found):
        found = found[:1]
    return {k: found.count(k) / len(found) for k in found}
