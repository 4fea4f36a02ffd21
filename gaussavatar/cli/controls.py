"""What may be asked of a motion, as options of a verb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from gaussavatar.cli.common import require_files
from gaussavatar.errors import UserError

if TYPE_CHECKING:
    from gaussavatar.motion.controls import Controls


@dataclass(frozen=True)
class ControlOptions:
    """Wishes on top of the motion; none of them changes anything by default."""

    mouth_gain: float = 1.0
    """How far the mouth goes: 1 as the sound moves it, 0 stays closed, 1.3 speaks up."""

    smoothing: float = 0.0
    """Seconds over which the mouth's motion is averaged: .04 calms it, .2 mumbles."""

    blink: Literal["recorded", "generated", "none"] = "recorded"
    """recorded: as filmed; generated: new ones with this person's timing; none: eyes stay open."""

    brows: float = 1.0
    """How far the brows go, 1 as filmed."""

    brows_by: Literal["recorded", "speech"] = "recorded"
    """recorded: as filmed; speech: by the sound's stress, those that follow it in this person's clip."""

    brow_offset: float = 0.0
    """Raises the brows all the time (or, below 0, lowers them); 1 is this person's strong movement."""

    expression: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...")] = ()
    """Upper-face channels to move all the time, such as squint=0.5; 1 is this person's strong movement."""

    emotion: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...")] = ()
    """Movements to add all the time, such as mouthSmileLeft=0.4; 1 is full."""

    gaze: str = "recorded"
    """recorded: as filmed; camera: to the camera while the head turns; X,Y: fixed, to the picture's right and down."""

    head: str = "recorded"
    """recorded: as filmed, back and forth; still; generated: idle sway; a motion file: as the head moves in it."""

    style_strength: float = 1.0
    """How far the mouth lies from this person's mean mouth: 0 is the mean, 1 as driven."""

    style_part: Annotated[str | None, arg(metavar="FROM:TO")] = None
    """Seconds of the filmed clip from which head and upper face are taken, such as 10:25."""

    seed: int = 0
    """Of what is generated: another one gives other blinks and another sway."""

    def check(self) -> None:
        """Refuse what is of no form at all, without an import of anything heavy.

        Raises:
            UserError: a word is not of its form, or a file is not there.
        """
        named_values("--expression", self.expression)
        named_values("--emotion", self.emotion)
        self._gaze()
        self._style_part()
        if self.head not in ("recorded", "still", "generated"):
            require_files("--head", (Path(self.head),))

    def controls(self) -> Controls:
        """The wishes, their ranges checked.

        Raises:
            UserError: a value is out of its range, or the motion of ``--head`` cannot be read.
        """
        from gaussavatar.motion.controls import Controls
        from gaussavatar.motion.track import MotionTrack

        words = ("recorded", "still", "generated")
        return Controls(
            mouth_gain=self.mouth_gain,
            smoothing=self.smoothing,
            blink=self.blink,
            brows=self.brows_by,
            brow_gain=self.brows,
            brow_offset=self.brow_offset,
            upper=named_values("--expression", self.expression),
            gaze=self._gaze(),  # type: ignore[arg-type]
            head=self.head if self.head in words else MotionTrack.load(self.head),  # type: ignore[arg-type]
            style_strength=self.style_strength,
            style_part=self._style_part(),
            emotion=named_values("--emotion", self.emotion),
        )

    def _gaze(self) -> str | tuple[float, float]:
        if self.gaze in ("recorded", "camera"):
            return self.gaze
        return _pair("--gaze", self.gaze, ",", "recorded, camera, or X,Y such as 0.2,0")

    def _style_part(self) -> tuple[float, float] | None:
        if self.style_part is None:
            return None
        return _pair("--style-part", self.style_part, ":", "FROM:TO in seconds such as 10:25")


def named_values(option: str, words: tuple[str, ...]) -> dict[str, float]:
    """``name=value`` words as numbers by name.

    Raises:
        UserError: a word is not of that form.
    """
    values: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise UserError(f"NAME=NUMBER after {option}", repr(word), "write, for example, squint=0.5") from error
    return values


def _pair(option: str, word: str, between: str, form: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in word.split(between))
    except ValueError as error:
        raise UserError(f"{option} as {form}", repr(word), "write it so") from error
    return first, second
