"""From the phones that a speech engine names to classes per frame and to what a mouth does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from gaussavatar.audio.features.viseme_network import RATE
from gaussavatar.audio.phone_classes import CLASS_OF, CLASSES

INDEX = {name: k for k, name in enumerate(CLASSES)}
SILENCE = INDEX["sil"]

_MARKS = set("ˈˌːˑ̩̯̃̊̈ʰʲˠʷ˞̪̥̬̠̝̞̺'`\"^~*!;.:-|=#0123456789͡ⁿ")
"""Stress, length, tone and colour: no mouth of their own."""

_PAUSE = set("_ ")
_VOWELS = frozenset(INDEX[name] for name in "i e a V o u y".split())


class Segment(NamedTuple):
    """A stretch of sound of one class; seconds."""

    start: float
    end: float
    kind: int


class Mouth(NamedTuple):
    """How a class shapes the mouth, and how firmly it insists on it against its neighbours."""

    opening: float
    rounding: float
    width: float
    firm_opening: float
    firm_lips: float


MOUTHS: dict[str, Mouth] = {
    "sil": Mouth(0.05, 0.2, 0.5, 1.0, 0.3),
    "pb": Mouth(0.0, 0.3, 0.45, 6.0, 0.2),
    "m": Mouth(0.0, 0.3, 0.45, 6.0, 0.2),
    "fv": Mouth(0.12, 0.2, 0.5, 3.0, 0.5),
    "th": Mouth(0.35, 0.2, 0.5, 0.7, 0.3),
    "td": Mouth(0.35, 0.2, 0.55, 0.6, 0.2),
    "n": Mouth(0.38, 0.2, 0.55, 0.5, 0.2),
    "l": Mouth(0.42, 0.2, 0.5, 0.5, 0.2),
    "sz": Mouth(0.25, 0.15, 0.6, 1.0, 0.4),
    "sh": Mouth(0.33, 0.75, 0.3, 1.0, 1.2),
    "kg": Mouth(0.42, 0.2, 0.5, 0.4, 0.2),
    "r": Mouth(0.33, 0.6, 0.35, 0.7, 0.9),
    "R": Mouth(0.42, 0.2, 0.5, 0.4, 0.2),
    "w": Mouth(0.15, 1.0, 0.1, 2.0, 2.5),
    "j": Mouth(0.32, 0.1, 0.65, 0.7, 0.6),
    "i": Mouth(0.35, 0.0, 0.85, 1.0, 1.0),
    "e": Mouth(0.55, 0.05, 0.75, 1.0, 1.0),
    "a": Mouth(1.0, 0.15, 0.6, 1.2, 0.8),
    "V": Mouth(0.6, 0.2, 0.5, 0.8, 0.4),
    "o": Mouth(0.65, 0.8, 0.25, 1.1, 1.3),
    "u": Mouth(0.25, 0.95, 0.15, 1.1, 1.8),
    "y": Mouth(0.3, 0.9, 0.2, 1.1, 1.6),
}
"""Set by hand from phonetics: no measurement of anyone's lips is in them."""

_NEUTRAL = np.array([0.2, 0.2, 0.5])
_ROUND = frozenset(INDEX[name] for name in ("w", "sh", "r"))
_LABIALS = frozenset((INDEX["pb"], INDEX["m"]))
_LONGEST_REACH = 0.3


class UnknownPhone(ValueError):
    """A symbol that no class is known for."""


def classes_of(symbol: str) -> list[int]:
    """The classes that a phone's IPA name goes through; empty for marks alone.

    Raises:
        UnknownPhone: a letter of it is not known.
    """
    kinds: list[int] = []
    for letter in symbol:
        if letter in _MARKS:
            continue
        if letter not in CLASS_OF:
            raise UnknownPhone(f"{letter!r} in {symbol!r}")
        if not kinds or kinds[-1] != CLASS_OF[letter]:
            kinds.append(CLASS_OF[letter])
    return kinds


def _shares(kinds: list[int]) -> list[float]:
    """Where a phone of several classes passes from one to the next, as shares of its time."""
    if len(kinds) == 2:
        # A diphthong stays longer in its first vowel, an affricate in its friction.
        return [0.0, 0.6 if kinds[0] in _VOWELS else 0.35, 1.0]
    return list(np.linspace(0.0, 1.0, len(kinds) + 1))


def segments_of(phones: Iterable[tuple[str, float, float]]) -> list[Segment]:
    """Timed IPA names (name, start and end in seconds) as segments; an empty name is a pause.

    Raises:
        UnknownPhone: see :func:`classes_of`.
    """
    out: list[Segment] = []
    for symbol, start, end in phones:
        if end <= start:
            continue
        if not symbol or set(symbol) <= _PAUSE:
            kinds = [SILENCE]
        else:
            kinds = classes_of(symbol)
            if not kinds and out:  # A length mark goes on with what it lengthens.
                out[-1] = out[-1]._replace(end=end)
        edges = start + (end - start) * np.array(_shares(kinds)) if kinds else []
        out += [Segment(float(a), float(b), kind) for a, b, kind in zip(edges[:-1], edges[1:], kinds, strict=True)]
    return out


def targets_of(segments: list[Segment], n: int) -> tuple[Int[np.ndarray, "n"], Float32[np.ndarray, "n 4"]]:
    """The class of each of ``n`` frames, and what the mouth does in it.

    Neighbours pull at each other's mouth with a strength that decays with their distance, the dominance functions of
    Cohen and Massaro (1993), "Modeling coarticulation in synthetic visual speech"; here a weighted mean of
    :data:`MOUTHS`. A closure is a bump around every p, b and m.
    """
    time = np.arange(n) / RATE
    kinds = np.full(n, SILENCE, np.int64)
    weight = np.full((n, 3), 1e-4)
    total = weight * _NEUTRAL
    closed = np.zeros(n)
    for start, end, kind in segments:
        a, b = np.searchsorted(time, [start, end])
        kinds[a:b] = kind
        near = slice(*np.searchsorted(time, [start - _LONGEST_REACH, end + _LONGEST_REACH]))
        away = np.maximum(0.0, np.maximum(start - time[near], time[near] - end))
        mouth = MOUTHS[CLASSES[kind]]
        vowel = kind in _VOWELS
        firm = mouth.firm_opening * np.exp(-away / (0.05 if vowel else 0.025))
        firm_lips = mouth.firm_lips * np.exp(-away / (0.09 if vowel or kind in _ROUND else 0.04))
        pull = np.stack([firm, firm_lips, firm_lips], 1)
        weight[near] += pull
        total[near] += pull * np.array(mouth[:3])
        if kind in _LABIALS:
            closed[near] = np.maximum(closed[near], np.exp(-((away / 0.03) ** 2)))
    return kinds, np.concatenate([total / weight, closed[:, None]], 1).astype(np.float32)
