"""The program ``espeak-ng``: over a hundred languages, a machine's voice."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from gaussavatar.speak.text.api import found, run_engine

PROGRAM = "espeak-ng"
_VOICE = re.compile(r"([A-Za-z][\w-]*)(\+[A-Za-z]\w*)?")


class EspeakNg:
    """See :class:`gaussavatar.speak.text.api.TextEngine`.

    A voice is a language or a name, with a variant where one is wanted: ``de+f3``.
    """

    name = PROGRAM
    install = "apt install espeak-ng, or brew install espeak-ng"

    def missing(self) -> str | None:
        """The program, where it is not found."""
        return None if found(PROGRAM) else f"the program {PROGRAM}"

    @cached_property
    def _table(self) -> list[tuple[str, str]]:
        """Language and name of every voice of its own; the others want data of another project."""
        lines = run_engine(self.name, [PROGRAM, "--voices"], "").decode(errors="replace").splitlines()[1:]
        rows = [line.split() for line in lines]
        return [(row[1], row[3]) for row in rows if len(row) > 4 and not row[4].startswith("mb/")]

    def languages(self) -> tuple[str, ...]:
        """Those of its voices."""
        return tuple(dict.fromkeys(language for language, _ in self._table))

    def voices(self) -> tuple[str, ...]:
        """Their names; languages are voices too."""
        return tuple(name for _, name in self._table)

    def has_voice(self, voice: str) -> bool:
        """Whether it is a language or name of the table, with or without a variant."""
        parts = _VOICE.fullmatch(voice)
        return parts is not None and parts[1] in (*self.languages(), *self.voices())

    def say(self, text: str, path: Path, voice: str | None, language: str) -> None:
        """See the protocol."""
        run_engine(self.name, [PROGRAM, "-b", "1", "-v", voice or language, "-w", path, "--stdin"], text)
