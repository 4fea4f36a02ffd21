"""The speech engines by name, and the one that says a text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.media.sound_file import read_audio
from gaussavatar.speak.text.api import TextEngine, match_language
from gaussavatar.speak.text.espeak_ng import EspeakNg
from gaussavatar.speak.text.flite import Flite
from gaussavatar.speak.text.kokoro import Kokoro
from gaussavatar.speak.text.kokoro_ja import KokoroJa
from gaussavatar.speak.text.piper import Piper

LANGUAGE = "en"
"""The language of a text whose language is not said."""

LONGEST = 1_000_000
"""Characters of a text, about a day of speech."""

_NEVER_SAID = ("Cc", "Cs", "Cn")
"""Unicode's control characters, lone surrogates and what is not assigned. Joiners stay: some scripts want them."""


def engines() -> tuple[TextEngine, ...]:
    """All engines, the more natural ones first."""
    return (Kokoro(), KokoroJa(), Piper(), EspeakNg(), Flite())


def say_text(
    text: str, path: Path, engine: str | None = None, voice: str | None = None, language: str | None = None
) -> str:
    """Write a sound file of a text; returns the name of the engine that said it.

    Args:
        text: what is said.
        path: the wav file to write.
        engine: its name; the first that is there and has voice and language when None.
        voice: one of the engine's; its own choice for the language when None.
        language: a code such as ``de`` or ``en-gb``; that of the voice, else English, when None.

    Raises:
        UserError: nothing to say, no engine, one that lacks voice or language, or it failed.
    """
    plain = one_line(text)
    chosen, code = choose(engines(), engine, voice, language)
    chosen.say(plain, path, voice, code)
    if not path.is_file():
        raise UserError(f"a sound from {chosen.name}", "none", "try another --voice or --engine")
    try:
        read_audio(path)
    except UserError as error:
        came = f"a sound without anything in it for {plain[:40]!r}"
        raise UserError(f"a sound from {chosen.name}", came, "give a text with words, in its language") from error
    return chosen.name


MOST_LISTED = 20
"""Languages that a message names one by one."""


def one_line(text: str) -> str:
    """The text in one line, without characters that control a terminal or a program.

    Raises:
        UserError: nothing is left that could be said, or far too much.
    """
    spaced = ("" if unicodedata.category(each) in _NEVER_SAID and not each.isspace() else each for each in text)
    kept = "".join(" " if each.isspace() else each for each in spaced)
    plain = " ".join(kept.split())
    if not any(character.isalnum() for character in plain):
        raise UserError("a text with words in it for --text", repr(text[:40]), "give something to say")
    if len(plain) > LONGEST:
        raise UserError(f"a text of at most {LONGEST} characters", f"{len(plain)}", "say it in parts")
    return plain


def choose(
    known: Sequence[TextEngine], engine: str | None, voice: str | None, language: str | None
) -> tuple[TextEngine, str]:
    """The engine that fulfils the wishes, and its own code of the language.

    Raises:
        UserError: there is none; the message says what would help.
    """
    there = [each for each in known if usable(each, voice)]
    if engine is not None:
        return _named(known, there, engine, voice, language)
    if not there:
        do = "; ".join(f"{each.name}: {each.install}" for each in known)
        raise UserError("a speech engine for --text", "none on this machine", f"install one ({do}), or give --audio")
    speaking = [(each, code) for each in there if (code := _code(each, voice, language)) is not None]
    if speaking:
        return speaking[0]
    if voice is not None and not any(each.has_voice(voice) for each in there):
        raise _no_voice(there, voice)
    wanted = language or LANGUAGE
    raise UserError(
        f"a language that an engine here speaks ({'; '.join(f'{each.name}: {_listed(each)}' for each in there)})",
        repr(wanted),
        "name another --language, or install an engine that has it",
    )


def _named(
    known: Sequence[TextEngine], there: Sequence[TextEngine], engine: str, voice: str | None, language: str | None
) -> tuple[TextEngine, str]:
    one = next((each for each in known if each.name == engine), None)
    if one is None:
        raise UserError(f"an --engine: {', '.join(each.name for each in known)}", repr(engine), "name one of these")
    if one not in there:
        raise UserError(f"{one.missing()} for the engine {one.name}", "none here", f"get it: {one.install}")
    if voice is not None and not one.has_voice(voice):
        raise _no_voice([one], voice)
    code = _code(one, voice, language)
    if code is None:
        wanted = f"a language that {one.name} speaks: {_listed(one)}"
        raise UserError(wanted, repr(language or LANGUAGE), "name another --language or --engine")
    return one, code


def usable(engine: TextEngine, voice: str | None) -> bool:
    """Whether an engine is there. A voice that is a file may be all that one misses."""
    missing = engine.missing()
    return missing is None or (voice is not None and missing.startswith("a voice") and engine.has_voice(voice))


def _code(engine: TextEngine, voice: str | None, language: str | None) -> str | None:
    """The engine's code of the language; None where it lacks the language or the voice."""
    if voice is not None:
        if not engine.has_voice(voice):
            return None
        if language is None:
            # The voice says which language it is.
            return engine.languages()[0] if engine.languages() else LANGUAGE
    codes = engine.languages()
    return match_language(language or LANGUAGE, codes) if codes or voice is None else language


def _listed(engine: TextEngine) -> str:
    codes = engine.languages()
    if len(codes) > MOST_LISTED:
        return f"{len(codes)} languages, {codes[0]} to {codes[-1]}"
    return ", ".join(codes) if codes else "that of its voice"


def _no_voice(there: Sequence[TextEngine], voice: str) -> UserError:
    told = "; ".join(f"{each.name}: {', '.join(each.voices()[:12]) or 'a file'}" for each in there)
    return UserError(f"a --voice of an engine here ({told})", repr(voice), "name one of these")
