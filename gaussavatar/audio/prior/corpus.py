"""Synthetic speech whose phones are timed: log-mel, the class of each frame, and what the mouth does in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float32, Int

from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.prior.engine import SpeechEngine, Spoken
from gaussavatar.audio.prior.phones import SILENCE, Segment, UnknownPhone, segments_of, targets_of
from gaussavatar.audio.prior.sentences import something_to_say
from gaussavatar.progress import Progress, QuietProgress
from gaussavatar.types import ANALYSIS_RATE, Waveform

_LEVEL = 0.8
"""Peak of every utterance."""

_FEWEST_PHONES = 5


@dataclass(frozen=True)
class Utterance:
    """What the network learns from.

    Attributes:
        mel: raw log-mel, 100 frames per second.
        kinds: index in ``CLASSES`` of every second frame.
        mouth: ``ARTICULATION`` of every second frame.
        engine, voice: who speaks.
    """

    mel: Float32[np.ndarray, "t 40"]
    kinds: Int[np.ndarray, "s"]
    mouth: Float32[np.ndarray, "s 4"]
    engine: str
    voice: str

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.mel) / 100.0


def with_silence(
    spoken: Spoken, chance: np.random.Generator, warp: float = 1.0
) -> tuple[Float32[np.ndarray, "s"], list[Segment]]:
    """The sound at 16 kHz, played ``warp`` times as fast, between two pauses; and its segments.

    Played faster, a throat is shorter and a voice higher, as with another speaker.

    Raises:
        UnknownPhone: a phone has no class.
    """
    from scipy.signal import resample_poly

    ratio = Fraction(ANALYSIS_RATE / (spoken.rate * warp)).limit_denominator(200)
    samples = resample_poly(spoken.samples.astype(np.float64), ratio.numerator, ratio.denominator)
    stretch = float(ratio) * spoken.rate / ANALYSIS_RATE
    before, after = (int(ANALYSIS_RATE * chance.uniform(0.1, high)) for high in (0.7, 0.6))
    late = before / ANALYSIS_RATE
    said = [Segment(s * stretch + late, e * stretch + late, kind) for s, e, kind in segments_of(spoken.phones)]
    samples = np.pad(samples * (_LEVEL / max(1e-6, float(np.abs(samples).max()))), (before, after))
    segments = [Segment(0.0, said[0].start, SILENCE), *said]
    segments.append(Segment(segments[-1].end, len(samples) / ANALYSIS_RATE, SILENCE))
    return samples.astype(np.float32), segments


def utterance_of(spoken: Spoken, engine: str, voice: str, chance: np.random.Generator, warp: float = 1.0) -> Utterance:
    """What is learnt from one sentence.

    Raises:
        UnknownPhone: a phone has no class.
    """
    samples, segments = with_silence(spoken, chance, warp)
    mel = log_mel(Waveform(samples, ANALYSIS_RATE))
    mel = mel[: 2 * (len(mel) // 2)]
    kinds, mouth = targets_of(segments, len(mel) // 2)
    return Utterance(mel, kinds, mouth, engine, voice)


def make_corpus(
    engines: Sequence[SpeechEngine], minutes: float, seed: int, progress: Progress | None = None
) -> list[Utterance]:
    """Let every engine speak an equal share of the time.

    Args:
        engines: who speaks.
        minutes: of sound, all together.
        seed: of the choice of sentences, voices and pauses.
        progress: told whole minutes; also which phones were not known, whose sentences are left out.
    """
    made: list[Utterance] = []
    unknown: Counter[str] = Counter()
    progress = progress or QuietProgress()
    wanted = 60.0 * minutes / len(engines)
    with progress.stage("synthetic speech, seconds", int(60 * minutes)) as advance:
        for number, engine in enumerate(engines):
            chance = np.random.default_rng([seed, number])
            seconds = 0.0
            while seconds < wanted:
                language = engine.languages[chance.integers(len(engine.languages))]
                voice, spoken = engine.say(something_to_say(language, chance), language, chance)
                warp = float(np.exp(0.07 * chance.normal()))
                if spoken is None or sum(bool(name) for name, _, _ in spoken.phones) < _FEWEST_PHONES:
                    unknown["no speech"] += 1
                    continue
                try:
                    one = utterance_of(spoken, engine.name, f"{language}/{voice}", chance, warp)
                except UnknownPhone as error:
                    unknown[str(error)] += 1
                    continue
                made.append(one)
                seconds += one.seconds
                advance(int(one.seconds))
    if unknown:
        progress.say(f"left out: {', '.join(f'{name} ({n})' for name, n in unknown.most_common(8))}")
    return made
