"""What a speech engine is, and what all of them need.

An engine is one file, ``speak/text/NAME.py``, with a class and a line in :mod:`gaussavatar.speak.text.registry`. Text
reaches a program through its standard input or a file, never as an argument, and never through a shell.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from gaussavatar.errors import UserError

_LEAST_SECONDS, _SECONDS_PER_CHARACTER = 120.0, 0.5
"""How long an engine may take before it counts as hanging."""

_ALSO = {"zh": "cmn", "no": "nb", "fil": "tl", "iw": "he"}
"""Other codes of the same language that engines use."""


@runtime_checkable
class TextEngine(Protocol):
    """A way to turn text into a sound file."""

    @property
    def name(self) -> str:
        """What ``--engine`` calls it."""
        ...

    @property
    def install(self) -> str:
        """How a user gets it."""
        ...

    def missing(self) -> str | None:
        """What is not there that it needs; None where it can be used."""
        ...

    def languages(self) -> tuple[str, ...]:
        """The languages that it speaks, as codes such as ``en-gb``; only where nothing is missing."""
        ...

    def voices(self) -> tuple[str, ...]:
        """The voices that can be named; () where a voice is a file."""
        ...

    def say(self, text: str, path: Path, voice: str | None, language: str) -> None:
        """Write a sound file of the text.

        Args:
            text: plain text in one line.
            path: the wav file to write.
            voice: one that :meth:`has_voice` knows; the engine's own choice for the language when None.
            language: one of :meth:`languages`.

        Raises:
            UserError: the engine failed.
        """
        ...

    def has_voice(self, voice: str) -> bool:
        """Whether a user's word names a voice of this engine."""
        ...


def run_engine(name: str, command: Sequence[str | Path], text: str) -> bytes:
    """Run an engine's program with the text on its standard input; returns what it printed.

    Raises:
        UserError: it failed or did not end.
    """
    limit = _LEAST_SECONDS + _SECONDS_PER_CHARACTER * len(text)
    try:
        done = subprocess.run(
            [str(word) for word in command],
            input=text.encode(errors="replace"),
            capture_output=True,
            check=False,
            timeout=limit,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = "no answer" if isinstance(error, subprocess.TimeoutExpired) else error.strerror or "an error"
        raise UserError(f"a sound from {name}", reason, "try the program itself, or another --engine") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
        raise UserError(f"a sound from {name}", f"an error ({reason[:200]})", "try another --voice or --engine")
    return done.stdout


def found(program: str) -> str | None:
    """The program's path, or None."""
    return shutil.which(program)


def match_language(wanted: str, known: Sequence[str]) -> str | None:
    """The known code that a wish means: the same one, else the first of the same language.

    >>> match_language("en", ("de", "en-gb", "en-us"))
    'en-gb'
    >>> match_language("en_US", ("de", "en-gb", "en-us"))
    'en-us'
    """
    plain = wanted.lower().replace("_", "-")
    exact = [code for code in known if code.lower() == plain]
    base = plain.split("-")[0]
    same = [code for code in known if code.lower().split("-")[0] in (base, _ALSO.get(base))]
    return next(iter([*exact, *same]), None)
