"""Whether the mouth closes where it should: relative opening, closures, labials, silence, and what chance gives.

A share of closures means nothing alone: lips that hardly open are closed at every m, and a real person's are closed
within a fifth of a second in most places. Beside every share therefore stands the share of all windows of the same
length that are closed as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import minimum_filter1d

from gaussavatar.intervals import true_runs
from gaussavatar.landmarks.measures import lip_aperture
from gaussavatar.types import VIDEO_FPS, FaceMotion

LABIALS = frozenset("mbpɱβɓ")
"""Speech sounds that close the lips, by the first letter of their name in IPA; the demo's language agrees."""

OPEN_VOWELS = frozenset("aeoɑæɐɒɔɛʌ")
"""Vowels whose mouth is open in most languages: the contrast to :data:`LABIALS`."""

SHUT = 0.25
"""Relative opening under which lips count as closed: people's lips of a shut mouth lie within a quarter of their range
in landmarks, which never report a gap of zero."""

NEAR_FRAMES = 2
"""How far from a real closure the predicted lips may close."""

SETTLE_FRAMES = 3
"""Frames (120 ms) that the lips have to come to rest in a silence, and to open before its end."""


@runtime_checkable
class TimedSound(Protocol):
    """A speech sound with its start and end in seconds."""

    @property
    def symbol(self) -> str:
        """Its name."""
        ...

    @property
    def start(self) -> float:
        """Seconds."""
        ...

    @property
    def end(self) -> float:
        """Seconds."""
        ...


@dataclass(frozen=True)
class LipRange:
    """A person's lips, from motion codes to relative opening: 0 is the closed mouth, 1 its 95th percentile."""

    motion: FaceMotion
    shape: Float[np.ndarray, "478 3"]
    shut: float
    wide: float

    def points(self, codes: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n 478 3"]:
        """The landmarks, in head space and metres, that mouth codes stand for."""
        return self.shape + np.tensordot(codes, self.motion.mouth_basis, 1)

    def opening(self, codes: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n"]:
        """Relative opening of the lips that mouth codes stand for."""
        return (lip_aperture(self.points(codes)) - self.shut) / max(self.wide - self.shut, 1e-6)


def lip_range(
    motion: FaceMotion,
    shape: Float[np.ndarray, "478 3"],
    closed: Float[np.ndarray, "m"],
    learnt_from: Bool[np.ndarray, "n"],
) -> LipRange:
    """The range between the closed code and the 95th percentile over the frames that were learnt from."""
    absolute = LipRange(motion, shape, 0.0, 1.0)
    wide = float(np.percentile(absolute.opening(motion.mouth_codes[learnt_from]), 95))
    return LipRange(motion, shape, float(absolute.opening(closed[None])[0]), wide)


def closed_within(opening: Float[np.ndarray, "n"], frames: int) -> Bool[np.ndarray, "n"]:
    """Whether the lips are closed somewhere in the window of so many frames around each frame, inside the sequence."""
    lowest = minimum_filter1d(opening.astype(np.float64), max(1, frames), mode="nearest")
    return lowest < SHUT


def phone_closures(
    opening: Float[np.ndarray, "n"], phones: Sequence[TimedSound], fps: float = VIDEO_FPS
) -> dict[str, float]:
    """How often the lips close on m, b and p, and stay shut in open vowels.

    A labial counts as closed if the smallest opening within its time, half a frame more on either side, is below
    :data:`SHUT`; a vowel if its mean opening is. ``labials_chance`` is the mean over the labials of the share of all
    windows of their length, centred on some sound that is spoken, that are closed in the same way.
    """
    centres = (np.arange(len(opening)) + 0.5) / fps
    spoken = np.zeros(len(opening), bool)
    labial, chance, vowel = [], [], []
    for phone in phones:
        first = phone.symbol[:1]
        if first.isalpha() or first == "@":
            spoken |= (centres >= phone.start) & (centres <= phone.end)
    for phone in phones:
        first = phone.symbol[:1]
        margin = 0.5 / fps if first in LABIALS else 0.0
        inside = (centres >= phone.start - margin) & (centres <= phone.end + margin)
        if first and first in LABIALS and inside.any():
            labial.append(float(opening[inside].min()))
            chance.append(float(closed_within(opening, int(inside.sum()))[spoken].mean()))
        elif first and first in OPEN_VOWELS and inside.any():
            vowel.append(float(opening[inside].mean()))
    return {
        "labials": len(labial),
        "labials_closed": _share(np.array(labial) < SHUT),
        "labials_chance": float(np.mean(chance)) if chance else float("nan"),
        "vowels_closed": _share(np.array(vowel) < SHUT),
        "labial_opening": float(np.mean(labial)) if labial else float("nan"),
        "vowel_opening": float(np.mean(vowel)) if vowel else float("nan"),
    }


def silence_figures(opening: Float[np.ndarray, "n"], silent: Bool[np.ndarray, "n"]) -> dict[str, float]:
    """Mean relative opening in pauses and in speech; nan where there is none of it."""
    return {
        "silence_opening": float(opening[silent].mean()) if silent.any() else float("nan"),
        "speech_opening": float(opening[~silent].mean()) if (~silent).any() else float("nan"),
        "silence_closed": _share(opening[silent] < SHUT),
    }


def settled(silent: Bool[np.ndarray, "n"], frames: int = SETTLE_FRAMES) -> Bool[np.ndarray, "n"]:
    """The silent frames in which the lips have to be at rest: not the first ones of a silence, nor its last ones.

    A silence at the start or the end of the sequence has no speech on that side, and there loses none.
    """
    out = np.zeros_like(silent)
    for start, stop in true_runs(silent):
        first = start + (frames if start > 0 else 0)
        last = stop - (frames if stop < len(silent) else 0)
        out[first:last] = True
    return out


def rest_figures(opening: Float[np.ndarray, "n"], silent: Bool[np.ndarray, "n"], rest: float = 0.0) -> dict[str, float]:
    """Share of the silent frames in which the lips are closed, and at the person's rest; of the others beside each.

    Args:
        opening: relative opening.
        silent: where nobody speaks.
        rest: the person's own opening in silence; above the closed mouth for people who keep theirs open.
    """
    shut, at_rest = opening < SHUT, opening < max(rest, 0.0) + SHUT
    calm = settled(silent)
    return {
        "silent_frames": int(calm.sum()),
        "silence_closed": _share(shut[calm]),
        "silence_closed_chance": _share(shut[~silent]),
        "silence_at_rest": _share(at_rest[calm]),
        "silence_at_rest_chance": _share(at_rest[~silent]),
    }


def person_rest(opening: Float[np.ndarray, "n"], silent: Bool[np.ndarray, "n"]) -> float:
    """The median opening in settled silence; 0, the closed mouth, where less than a second of it is known."""
    calm = settled(silent)
    return float(np.median(opening[calm])) if calm.sum() >= VIDEO_FPS else 0.0


def closures(opening: Float[np.ndarray, "n"], threshold: float = SHUT) -> Int[np.ndarray, "k"]:
    """Frames at which the lips close: the smallest opening of every run of frames below ``threshold``."""
    return np.array([a + int(np.argmin(opening[a:b])) for a, b in true_runs(opening < threshold)], int)


def real_closures(predicted: Float[np.ndarray, "n"], real: Float[np.ndarray, "n"]) -> dict[str, float]:
    """Closures of the real lips that the predicted ones make within :data:`NEAR_FRAMES`, and those they invent.

    Beside each what chance gives: the recall of closures that fall anywhere, and the share that would be invented.
    """
    near = 2 * NEAR_FRAMES + 1

    def met(events: np.ndarray, other: np.ndarray) -> float:
        return _share(closed_within(other, near)[events])

    wanted, made = closures(real), closures(predicted)
    return {
        "real_closures": len(wanted),
        "closure_recall": met(wanted, predicted),
        "closure_recall_chance": _share(closed_within(predicted, near)),
        "made_closures": len(made),
        "false_closures": 1.0 - met(made, real),
        "false_closures_chance": 1.0 - _share(closed_within(real, near)),
        "closed_share_real": float((real < SHUT).mean()),
        "closed_share": float((predicted < SHUT).mean()),
    }


def _share(flags: Bool[np.ndarray, "k"]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
