"""Several sounds, one avatar: it is loaded once, and what fails for one sound does not lose the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.storage import explain_os_error


@dataclass(frozen=True)
class Spoken:
    """What became of one sound: the video, or why there is none."""

    audio: Path
    video: Path | UserError


def speak_each(sounds: Sequence[Path], say_one: Callable[[Path, str], Path], folder: Path) -> Iterator[Spoken]:
    """Write a video of every sound, one after the other.

    Args:
        sounds: the sounds.
        say_one: writes the video of a sound under a name without extension, and returns it.
        folder: where the videos go; made if need be.

    Raises:
        UserError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    for audio, name in zip(sounds, names_of(sounds), strict=True):
        try:
            video = say_one(audio, name)
        except UserError as error:
            yield Spoken(audio, error)
        else:
            yield Spoken(audio, video)


def names_of(sounds: Sequence[Path]) -> list[str]:
    """A name for every sound: its file's, with a number where several have the same one."""
    seen: Counter[str] = Counter()
    names = []
    for audio in sounds:
        seen[audio.stem] += 1
        names.append(audio.stem if seen[audio.stem] == 1 else f"{audio.stem}-{seen[audio.stem]}")
    return names
