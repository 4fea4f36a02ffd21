"""Brows and nods that go with what is stressed, as far as a person's clip shows that theirs do.

Which of them do is decided by a test on held-out blocks when the avatar is fitted; the others stay as recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float32

from gaussavatar.motion.poses import deviated, deviations, mean_pose
from gaussavatar.motion.track import MotionTrack

PREFIX = "accents."
"""Before the arrays of accents in an avatar's file."""

TURNS = ("nod", "shake", "tilt")
"""Of the head: about the axes that point to the picture's right, down, and away."""
BROWS = ("brow_inner", "brow_outer", "brow_down")
ACCENTS = (*TURNS, *BROWS)


@dataclass(frozen=True)
class Accents:
    """What stress moves in one person. Units: radians of :data:`TURNS`, this person's strong movement of brows."""

    weights: Float32[np.ndarray, "f 6"]
    """Movement per unit of each column of :func:`gaussavatar.audio.stress.stress`; 0 for what does not follow."""
    coupling: Float32[np.ndarray, "3 6"]
    """The whole movement of the head (rotation vector, metres) that goes with a unit of each of :data:`TURNS`."""
    share: Float32[np.ndarray, "6"]
    """Variance that stress explained on held-out blocks; 0 for what does not follow."""

    @property
    def following(self) -> dict[str, float]:
        """The accents that follow stress, with the variance that it explains."""
        return {name: float(share) for name, share in zip(ACCENTS, self.share, strict=True) if share > 0}

    def arrays(self) -> dict[str, Float32[np.ndarray, "..."]]:
        """What an avatar's file keeps, by name."""
        return {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}


def stored_accents(arrays: Mapping[str, np.ndarray]) -> Accents | None:
    """The accents among an avatar's arrays; None in an avatar of before there were any."""
    names = [field.name for field in fields(Accents)]
    if any(PREFIX + name not in arrays for name in names):
        return None
    return Accents(**{name: arrays[PREFIX + name] for name in names})


def with_nods(accents: Accents, stressed: Float32[np.ndarray, "n f"], track: MotionTrack) -> MotionTrack:
    """The head's accents on top of its motion."""
    moved = (stressed @ accents.weights[:, : len(TURNS)]) @ accents.coupling
    if not moved.any():
        return track
    mean = mean_pose(track.T_camera_world)
    return replace(track, T_camera_world=deviated(mean, deviations(track.T_camera_world, mean) + moved))


def with_brows(
    accents: Accents,
    stressed: Float32[np.ndarray, "n f"],
    track: MotionTrack,
    rest: Float32[np.ndarray, "u"],
) -> MotionTrack:
    """The brows that follow stress, about their rest, instead of the recorded ones; the others stay as they are."""
    upper = track.upper.copy()
    for column, name in enumerate(BROWS, start=len(TURNS)):
        if accents.share[column] > 0 and name in track.upper_names:
            channel = track.upper_names.index(name)
            upper[:, channel] = np.clip(rest[channel] + stressed @ accents.weights[:, column], 0, 1.5)
    return replace(track, upper=upper)
