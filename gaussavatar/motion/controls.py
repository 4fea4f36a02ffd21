"""What a user may ask of a motion besides the sound: plain values with ranges, apart from any avatar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from gaussavatar.errors import UserError
from gaussavatar.motion.track import MotionTrack

BlinkKind = Literal["recorded", "generated", "none"]
BrowKind = Literal["recorded", "speech"]
HeadKind = Literal["recorded", "still", "generated"]
GazeKind = Literal["recorded", "camera"]

_RANGES = {
    "mouth_gain": (0.0, 4.0),
    "smoothing": (0.0, 2.0),
    "brow_gain": (0.0, 4.0),
    "brow_offset": (-2.0, 2.0),
    "style_strength": (0.0, 3.0),
}
_OFFSET = 3.0
"""Most that a channel or a movement is moved, in units of this person's strong movement."""


@dataclass(frozen=True)
class Controls:
    """Wishes on top of a motion. The defaults change nothing.

    Raises:
        UserError: when it is made with a value out of range or of another kind.
    """

    mouth_gain: float = 1.0
    """How far the mouth goes from the closed one: 1 as driven, 0 stays closed. On top of the avatar's own gain."""
    smoothing: float = 0.0
    """Seconds over which the mouth's motion is averaged; .04 calms it, .2 mumbles."""
    blink: BlinkKind = "recorded"
    """``recorded``: as the track has it; ``generated``: new ones with this person's timing and shape; ``none``."""
    brows: BrowKind = "recorded"
    """``speech``: those brows that, in this person's clip, follow the stress of speech, follow that of the sound."""
    brow_gain: float = 1.0
    """How far the brows go, 1 as in the track."""
    brow_offset: float = 0.0
    """Raises (or, below 0, lowers) the brows all the time; 1 is this person's strong movement."""
    upper: Mapping[str, float] = field(default_factory=dict)
    """Offsets of upper-face channels by name (``blink_left``, ``squint``, ...)."""
    gaze: GazeKind | tuple[float, float] = "recorded"
    """``camera`` holds the eyes on the camera while the head turns; two numbers fix them: to the picture's right and
    down, 1 being this person's strong glance."""
    head: HeadKind | MotionTrack = "recorded"
    """``recorded``: as the track has it; ``still``; ``generated``: sway of this person's own kind, with nods on what is
    stressed where the clip shows them; or a motion whose head is followed, of this avatar or another."""
    style_strength: float = 1.0
    """How far the mouth lies from this person's mean mouth: 0 is always the mean, 1 as driven."""
    style_part: tuple[float, float] | None = None
    """From and to which second of the filmed track head and upper face are taken, back and forth."""
    emotion: Mapping[str, float] = field(default_factory=dict)
    """Movements by name (``mouthSmileLeft``, ...) that are added all the time, 1 being full: those of the avatar's
    head where it is bound to one, else ARKit's by the person's own map."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UserError: a value is out of range or of another kind.
        """
        for name, (low, high) in _RANGES.items():
            _check_number(name, getattr(self, name), low, high)
        _check_word("blink", self.blink, get_args(BlinkKind))
        _check_word("brows", self.brows, get_args(BrowKind))
        if not isinstance(self.head, MotionTrack):
            _check_word("head", self.head, get_args(HeadKind), ", or a motion track")
        for name in ("upper", "emotion"):
            values = getattr(self, name)
            if not isinstance(values, Mapping):
                raise UserError(f"{name} by name, such as {{'squint': 0.5}}", repr(values), "give names and numbers")
            for channel, value in values.items():
                _check_number(f"{name} {channel}", value, -_OFFSET, _OFFSET)
        if isinstance(self.gaze, str):
            _check_word("gaze", self.gaze, get_args(GazeKind), ", or two numbers")
        else:
            for value in _pair("gaze", self.gaze):
                _check_number("gaze", value, -1.5, 1.5)
        if self.style_part is not None:
            start, stop = _pair("style_part", self.style_part)
            if not (_is_number(start) and _is_number(stop) and 0 <= start < stop):
                wanted = "a style_part from one second of the filmed track to a later one"
                raise UserError(wanted, repr(self.style_part), "change it")

    @property
    def change_nothing(self) -> bool:
        """Whether every value is its default."""
        return not isinstance(self.head, MotionTrack) and self == Controls()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if not _is_number(value) or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise UserError(f"{name} from {low:g} to {high:g}", repr(value), "give a number in that range")


def _check_word(name: str, value: object, words: tuple[str, ...], more: str = "") -> None:
    if not isinstance(value, str) or value not in words:
        raise UserError(f"{name}: one of {', '.join(words)}{more}", repr(value), "give one of these")


def _pair(name: str, values: object) -> tuple[object, object]:
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise UserError(f"{name} as two numbers", repr(values), "give two")
    return values[0], values[1]
