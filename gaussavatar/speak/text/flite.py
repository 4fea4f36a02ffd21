"""The program ``flite``: English, small and fast."""

from __future__ import annotations

import unicodedata
from functools import cached_property
from pathlib import Path

from gaussavatar.speak.text.api import found, run_engine

PROGRAM = "flite"
PREFERRED = "slt"


class Flite:
    """See :class:`gaussavatar.speak.text.api.TextEngine`."""

    name = PROGRAM
    install = "apt install flite"

    def missing(self) -> str | None:
        """The program, where it is not found."""
        return None if found(PROGRAM) else f"the program {PROGRAM}"

    def languages(self) -> tuple[str, ...]:
        """American English."""
        return ("en-us",)

    @cached_property
    def _voices(self) -> tuple[str, ...]:
        told = run_engine(self.name, [PROGRAM, "-lv"], "").decode(errors="replace")
        return tuple(told.partition(":")[2].split())

    def voices(self) -> tuple[str, ...]:
        """The voices that it was built with."""
        return self._voices

    def has_voice(self, voice: str) -> bool:
        """Whether it is one of them."""
        return voice in self.voices()

    def say(self, text: str, path: Path, voice: str | None, language: str) -> None:
        """See the protocol; flite reads a file."""
        chosen = voice or (PREFERRED if PREFERRED in self.voices() else self.voices()[0])
        source = path.with_name(path.name + ".txt")
        source.write_text(unicodedata.normalize("NFKD", text), encoding="ascii", errors="ignore")
        try:
            run_engine(self.name, [PROGRAM, "-voice", chosen, "-f", source, "-o", path], "")
        finally:
            source.unlink(missing_ok=True)
