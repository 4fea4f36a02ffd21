"""The program ``piper``: neural voices, each a file that the user has."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.speak.text.api import found, run_engine

PROGRAM = "piper"
VARIABLE = "GAUSSAVATAR_PIPER_VOICE"


class Piper:
    """See :class:`gaussavatar.speak.text.api.TextEngine`. A voice is the path of its ``.onnx``, beside its ``.json``.

    The environment variable :data:`VARIABLE` names the voice that is taken when none is.
    """

    name = PROGRAM
    install = f"pip install piper-tts, and a voice of it (.onnx) in --voice or {VARIABLE}"

    def missing(self) -> str | None:
        """The program or a voice, where there is none."""
        if not found(PROGRAM):
            return f"the program {PROGRAM}"
        return None if self._own() else f"a voice in {VARIABLE}"

    def _own(self) -> str | None:
        named = os.environ.get(VARIABLE)
        return named if named and Path(named).is_file() else None

    def languages(self) -> tuple[str, ...]:
        """The language of the voice that is taken when none is named."""
        own = self._own()
        return (language_of(Path(own)),) if own else ()

    def voices(self) -> tuple[str, ...]:
        """None can be told: a voice is a file."""
        return ()

    def has_voice(self, voice: str) -> bool:
        """Whether it is the path of a model."""
        return voice.endswith(".onnx") and Path(voice).is_file()

    def say(self, text: str, path: Path, voice: str | None, language: str) -> None:
        """See the protocol."""
        model = Path(voice or self._own() or "")
        # An absolute path cannot be taken for an option.
        run_engine(self.name, [PROGRAM, "-m", model.absolute(), "-f", path.absolute()], text + "\n")


def language_of(model: Path) -> str:
    """The language that a voice's own description names.

    Raises:
        UserError: there is no description beside it.
    """
    described = model.with_name(model.name + ".json")
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
        code = facts.get("language", {}).get("code") or facts["espeak"]["voice"]
        return str(code).lower().replace("_", "-")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"the description of a voice at {described}", "none", "put it beside the voice") from error
