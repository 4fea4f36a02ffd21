"""A made-up language for the demo: sentences of syllables, and their phones in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VOWELS = ("a", "e", "i", "o", "u", "@")
CONSONANTS = ("m", "b", "p", "f", "v", "s", "z", "S", "t", "d", "n", "l", "k", "g", "r", "w", "j", "h")
SILENCE = "_"

VOWEL_SECONDS = {"a": 0.135, "e": 0.115, "i": 0.105, "o": 0.130, "u": 0.110, "@": 0.075}
CONSONANT_SECONDS = {
    **{"m": 0.080, "b": 0.080, "p": 0.100, "f": 0.105, "v": 0.070, "s": 0.110, "z": 0.080, "S": 0.115},
    **{"t": 0.085, "d": 0.065, "n": 0.070, "l": 0.065, "k": 0.090, "g": 0.070, "r": 0.065, "w": 0.070},
    **{"j": 0.065, "h": 0.065},
}


@dataclass(frozen=True)
class Phone:
    """One speech sound: its symbol, start and end in seconds, and how much stress it carries (about 1)."""

    symbol: str
    start: float
    end: float
    stress: float = 1.0

    @property
    def middle(self) -> float:
        """Its middle in seconds."""
        return (self.start + self.end) / 2


def babble(seconds: float, seed: int, *, lead: float = 0.45, tail: float = 0.45) -> tuple[Phone, ...]:
    """Phones of made-up sentences that fill ``seconds``, with silence before, between and after.

    Args:
        seconds: whole length.
        seed: which sentences.
        lead: silence at the start.
        tail: silence at the end, at least.
    """
    random = np.random.default_rng([seed, 41])
    phones: list[Phone] = []
    now = 0.0

    def add(symbol: str, length: float, stress: float = 1.0) -> None:
        nonlocal now
        phones.append(Phone(symbol, now, now + length, stress))
        now += length

    add(SILENCE, min(lead, seconds))
    while True:
        sentence = _sentence(random)
        pause = float(random.uniform(0.35, 0.85))
        if now + sum(length for _, length, _ in sentence) > seconds - tail:
            sentence = _shortened(sentence, seconds - tail - now)
            for symbol, length, stress in sentence:
                add(symbol, length, stress)
            break
        for symbol, length, stress in sentence:
            add(symbol, length, stress)
        add(SILENCE, pause)
    if now < seconds:
        add(SILENCE, seconds - now)
    return merge_silence(tuple(phones))


def _sentence(random: np.random.Generator) -> list[tuple[str, float, float]]:
    """One breath group of three to seven words as (symbol, seconds, stress)."""
    out: list[tuple[str, float, float]] = []
    n_words = int(random.integers(3, 8))
    pace = float(random.uniform(0.92, 1.12))
    for word in range(n_words):
        n_syllables = int(random.choice([1, 2, 2, 3]))
        stressed = int(random.integers(n_syllables))
        for syllable in range(n_syllables):
            stress = 1.2 if syllable == stressed else 0.9
            last = word == n_words - 1 and syllable == n_syllables - 1
            for symbol in _syllable(random, reduced=syllable != stressed):
                length = (VOWEL_SECONDS | CONSONANT_SECONDS)[symbol] * pace
                length *= stress**0.8 * (1.35 if last else 1.0) * float(random.uniform(0.88, 1.14))
                out.append((symbol, length, stress))
        if word < n_words - 1 and random.uniform() < 0.18:
            out.append((SILENCE, float(random.uniform(0.10, 0.22)), 1.0))
    return out


def _syllable(random: np.random.Generator, *, reduced: bool) -> list[str]:
    """An optional consonant, a vowel, and sometimes a closing consonant."""
    symbols: list[str] = []
    if random.uniform() < 0.92:
        symbols.append(str(random.choice(CONSONANTS)))
        if symbols[0] in ("b", "p", "f", "g", "k", "t", "d") and random.uniform() < 0.15:
            symbols.append(str(random.choice(["r", "l"])))
    vowel = "@" if reduced and random.uniform() < 0.35 else str(random.choice(VOWELS[:5]))
    symbols.append(vowel)
    if random.uniform() < 0.30:
        symbols.append(str(random.choice(["n", "m", "s", "t", "l", "k", "p", "S"])))
    return symbols


def _shortened(sentence: list[tuple[str, float, float]], seconds: float) -> list[tuple[str, float, float]]:
    """The start of a sentence that fits, ended after a vowel."""
    kept: list[tuple[str, float, float]] = []
    best = 0
    total = 0.0
    for symbol, length, stress in sentence:
        total += length
        if total > seconds:
            break
        kept.append((symbol, length, stress))
        if symbol in VOWELS:
            best = len(kept)
    return kept[:best]


def merge_silence(phones: tuple[Phone, ...]) -> tuple[Phone, ...]:
    """Join silences that follow each other."""
    merged: list[Phone] = []
    for phone in phones:
        if merged and phone.symbol == SILENCE and merged[-1].symbol == SILENCE:
            merged[-1] = Phone(SILENCE, merged[-1].start, phone.end)
        elif phone.end > phone.start:
            merged.append(phone)
    return tuple(merged)
