"""Sounds of speech as lips show them: IPA symbols in 22 classes that look alike."""

from __future__ import annotations

import unicodedata

_MEMBERS = {
    "silence": "",
    "p": "pbɓβʙ",
    "m": "mɱ",
    "f": "fvʋɸ",
    "th": "θð",
    "t": "tdɾʈɖɗʔ",
    "n": "nɲɳ",
    "l": "lɫʎɭɮ",
    "s": "szʦʣ",
    "sh": "ʃʒɕʑʂʐʧʤʨʥ",
    "k": "kɡgŋhɦxɣħcɟçqɴʝ",
    "r": "ɹɻrɽ",
    "uvular": "ʁχʀ",
    "w": "wɥʍ",
    "j": "jɰ",
    "i": "iɪᵻɨ",
    "e": "eɛ",
    "a": "aæɑɐ",
    "schwa": "ʌəɜɚɝᵊɤɘɵ",
    "o": "oɔɒ",
    "u": "uʊɯʉ",
    "y": "yøœʏ",
}
PHONE_CLASSES = tuple(_MEMBERS)
"""Names of the classes, in order; each is named by a sound of it."""

SILENCE, LABIALS, VOWELS = 0, (1, 2), tuple(range(15, 22))
"""Numbers of the class of silence, of those whose lips close, and of the vowels."""

_CLASS_OF = {symbol: k for k, (_, symbols) in enumerate(_MEMBERS.items()) for symbol in symbols}
_AFFRICATES = {"t͡ʃ", "d͡ʒ", "t͡ɕ", "d͡ʑ", "ʈ͡ʂ", "tʃ", "dʒ", "tɕ"}


def classes_of(phone: str) -> dict[int, float]:
    """The classes of an IPA phone and how much of it belongs to each; {} for what is no phone of its own.

    Diacritics, lengths and tones are left out. A diphthong is half of each of its vowels, an affricate its fricative.

    Args:
        phone: one symbol with what modifies it, such as ``aɪ``, ``t͡ʃ`` or ``kʰ``.
    """
    if any(phone.startswith(affricate) for affricate in _AFFRICATES):
        return {PHONE_CLASSES.index("sh"): 1.0}
    plain = unicodedata.normalize("NFD", phone)
    found = [_CLASS_OF[symbol] for symbol in plain if symbol in _CLASS_OF][:2]
    if len(found) == 2 and not all(k in VOWELS or PHONE_CLASSES[k] in ("w", "j") for k in found):
        found = found[:1]
    return {k: found.count(k) / len(found) for k in found}
