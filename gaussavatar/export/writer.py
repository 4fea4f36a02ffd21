"""What an export format is. It is described without loading what writes it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gaussavatar.errors import UserError

if TYPE_CHECKING:
    from gaussavatar.avatar.mark import Mark
    from gaussavatar.avatar.player import LoadedAvatar
    from gaussavatar.motion.track import MotionTrack
    from gaussavatar.types import Activated


@runtime_checkable
class Setting(Protocol):
    """Something that the user may choose about a file."""

    @property
    def default(self) -> Any:
        """What it is when nothing is said."""
        ...

    @property
    def meaning(self) -> str:
        """What it is for, in words."""
        ...

    def read(self, name: str, given: object) -> Any:
        """The value that was given, as a word of the command line or as itself.

        Raises:
            UserError: it is none of those that the setting can have.
        """
        ...


@dataclass(frozen=True)
class Option:
    """A number that the user may choose about a file."""

    default: float
    low: float
    high: float
    meaning: str

    def read(self, name: str, given: object) -> float:
        """See :class:`Setting`."""
        try:
            value = float(given)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise UserError(
                f"a number for {name}", repr(f"{name}={given}"), f"write {name}={self.default:g}"
            ) from error
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise UserError(f"{name} within {self.low:g} to {self.high:g}", f"{value:g}", "give another value")
        return value


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    default: str
    words: tuple[str, ...]
    meaning: str

    def read(self, name: str, given: object) -> str:
        """See :class:`Setting`."""
        if given not in self.words:
            raise UserError(f"{name}: one of {', '.join(self.words)}", repr(given), "give one of these")
        return str(given)


@dataclass(frozen=True)
class Switch:
    """Something that is done or not."""

    meaning: str
    default: bool = False

    def read(self, name: str, given: object) -> bool:
        """See :class:`Setting`."""
        if str(given).lower() not in ("true", "false"):
            raise UserError(f"{name}=true or {name}=false", repr(given), "give one of these")
        return str(given).lower() == "true"


@dataclass(frozen=True)
class InputFile:
    """A file that goes into the one that is written."""

    meaning: str
    default: Path | None = None

    def read(self, name: str, given: object) -> Path | None:
        """See :class:`Setting`."""
        if given is not None and not Path(str(given)).is_file():
            raise UserError(f"a file for {name} at {given}", "no such file", "check the path")
        return None if given is None else Path(str(given))


@dataclass(frozen=True)
class Writer:
    """A format that other programs read.

    ``module`` has the work: ``write(path, states, motion, **options) -> int``. It is given all Gaussians of every
    frame of a motion, in head space, without batch dimension, the torso's after the head's; the motion, which has the
    pose of the head in each frame; and, where there is room, ``mark``: what the file says of itself. It writes
    atomically and returns how many Gaussians a frame of the file has. It never sees the avatar. Where the format does
    not move, the motion has one frame.

    A format that carries the avatar itself (``whole``) is given the loaded avatar in place of its states, and ``tell``,
    a function for lines that the user should read.
    """

    holds: str
    """What a file of it holds, in words."""
    moves: bool
    """Whether it holds a motion, or one state."""
    suffix: str
    module: str
    options: Mapping[str, Setting] = field(default_factory=dict)
    whole: bool = False
    """Whether it carries what moves the Gaussians, and what hears, rather than states of them."""
    folder: str = ""
    """Name of the switch with which it is a folder instead of a file; "" where there is none."""
    shaping: Mapping[str, Setting] = field(default_factory=dict)
    """Settings of the states themselves, which the module is not told."""
    many: bool = False
    """Whether it is a folder of files, always."""
    marked: bool = False
    """Whether a file has room for whose face it is and on what consent."""
    counts: str = "Gaussians"
    """What the number is of that writing gives."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """All that the user may choose."""
        return {**self.options, **self.shaping}

    def write(
        self,
        path: Path,
        states: Iterator[Activated] | LoadedAvatar,
        motion: MotionTrack,
        options: Mapping[str, Any],
        tell: Callable[[str], None] = lambda line: None,
        mark: Mark | None = None,
    ) -> int:
        """Write a file, which says ``mark`` where it has room; returns how many Gaussians a frame of it has.

        Raises:
            UserError: an option that the format does not have, or out of its range; nothing to write; no room to write.
        """
        chosen = {name: value for name, value in self.chosen(options).items() if name in self.options}
        if self.whole:
            chosen["tell"] = tell
        elif self.marked:
            chosen["mark"] = mark
        return importlib.import_module(self.module).write(path, states, motion, **chosen)

    def chosen(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Every option of the format, as given or by default.

        Raises:
            UserError: an option that the format does not have, or out of its range.
        """
        for name in options:
            if name not in self.settings:
                known = ", ".join(self.settings) or "none"
                raise UserError(f"an option of this format: {known}", repr(name), "name one of these, or leave it out")
        given = {name: self.settings[name].read(name, value) for name, value in options.items()}
        return {name: option.default for name, option in self.settings.items()} | given
