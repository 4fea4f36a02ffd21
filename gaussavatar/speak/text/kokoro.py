"""The package ``kokoro-onnx``: natural voices in eight languages, from two files that the user has."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gaussavatar.errors import UserError

VARIABLE = "GAUSSAVATAR_KOKORO"
"""Environment variable that names the folder of ``kokoro*.onnx`` and ``voices*.bin``."""

LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn",
}  # fmt: skip
"""The language of a voice by its first letter, as Kokoro names its voices."""


class Kokoro:
    """See :class:`gaussavatar.speak.text.api.TextEngine`."""

    name = "kokoro"
    install = f"pip install kokoro-onnx, and its two files in a folder that {VARIABLE} names"

    def __init__(self) -> None:
        self._opened: Any = None

    def missing(self) -> str | None:
        """The package or its files, where they are not there."""
        if find_spec("kokoro_onnx") is None:
            return "the package kokoro-onnx"
        return None if self._files() else f"kokoro*.onnx and voices*.bin in the folder {VARIABLE}"

    def _files(self) -> tuple[Path, Path] | None:
        folder = os.environ.get(VARIABLE)
        if not folder:
            return None
        models, voices = sorted(Path(folder).glob("kokoro*.onnx")), sorted(Path(folder).glob("voices*.bin"))
        return (models[-1], voices[-1]) if models and voices else None

    def _engine(self) -> Any:
        if self._opened is None:
            import kokoro_onnx  # type: ignore[import-not-found]

            files = self._files()
            assert files is not None
            self._opened = kokoro_onnx.Kokoro(str(files[0]), str(files[1]))
        return self._opened

    def languages(self) -> tuple[str, ...]:
        """Those of its voices."""
        return tuple(dict.fromkeys(LANGUAGES[name[0]] for name in self.voices()))

    def voices(self) -> tuple[str, ...]:
        """The names in its file of voices whose language is known."""
        return tuple(sorted(name for name in self._engine().get_voices() if name[0] in LANGUAGES))

    def has_voice(self, voice: str) -> bool:
        """Whether its file holds it."""
        return voice in self.voices()

    def say(self, text: str, path: Path, voice: str | None, language: str) -> None:
        """See the protocol."""
        import soundfile

        chosen = voice or next(name for name in self.voices() if LANGUAGES[name[0]] == language)
        try:
            samples, rate = self._engine().create(text, voice=chosen, lang=LANGUAGES[chosen[0]])
        except (ValueError, RuntimeError, AssertionError) as error:
            raise UserError("a sound from kokoro", f"an error ({error})", "try another text or --engine") from error
        soundfile.write(path, samples, rate)
