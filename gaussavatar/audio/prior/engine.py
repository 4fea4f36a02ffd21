"""What a speech engine gives the corpus: sound whose phones are timed by who made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class Spoken:
    """One sentence by one voice.

    Attributes:
        samples: mono sound, -1..1.
        rate: samples per second.
        phones: IPA name, start and end in seconds of each, in order; an empty name is a pause.
    """

    samples: Float32[np.ndarray, "s"]
    rate: int
    phones: list[tuple[str, float, float]]


@runtime_checkable
class SpeechEngine(Protocol):
    """A program that speaks."""

    @property
    def name(self) -> str:
        """As in reports."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """Languages that it speaks, two letters each, as often as they are to be heard."""
        ...

    def say(self, text: str, language: str, chance: np.random.Generator) -> tuple[str, Spoken | None]:
        """A voice drawn at random and what it made of the text; None where it made nothing that can be used."""
        ...
