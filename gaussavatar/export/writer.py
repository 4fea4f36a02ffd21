"""What an export format is. It is described without loading what writes it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gaussavatar.errors import UserError

if TYPE_CHECKING:
    from gaussavatar.motion.track import MotionTrack
    from gaussavatar.types import Activated


@dataclass(frozen=True)
class Option:
    """A number that the user may choose about a file."""

    default: float
    low: float
    high: float
    meaning: str


@dataclass(frozen=True)
class Writer:
    """A format that other programs read.

    ``module`` has the work: ``write(path, states, motion, **options) -> int``. It is given all Gaussians of every
    frame of a motion, in head space, without batch dimension, the torso's after the head's; and the motion, which has
    the pose of the head in each frame. It writes atomically and returns how many Gaussians a frame of the file has. It
    never sees the avatar. Where the format does not move, the motion has one frame.
    """

    holds: str
    """What a file of it holds, in words."""
    moves: bool
    """Whether it holds a motion, or one state."""
    suffix: str
    module: str
    options: Mapping[str, Option] = field(default_factory=dict)

    def write(self, path: Path, states: Iterator[Activated], motion: MotionTrack, options: Mapping[str, float]) -> int:
        """Write a file; returns how many Gaussians a frame of it has.

        Raises:
            UserError: an option that the format does not have, or out of its range; nothing to write; no room to write.
        """
        chosen = self.chosen(options)
        return importlib.import_module(self.module).write(path, states, motion, **chosen)

    def chosen(self, options: Mapping[str, float]) -> dict[str, float]:
        """Every option of the format, as given or by default.

        Raises:
            UserError: an option that the format does not have, or out of its range.
        """
        for name, value in options.items():
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise UserError(f"an option of this format: {known}", repr(name), "name one of these, or leave it out")
            option = self.options[name]
            if not (math.isfinite(value) and option.low <= value <= option.high):
                raise UserError(f"{name} within {option.low:g} to {option.high:g}", f"{value:g}", "give another value")
        return {name: options.get(name, option.default) for name, option in self.options.items()}
