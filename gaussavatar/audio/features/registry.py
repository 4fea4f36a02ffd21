"""The audio features by name; a new one is one file and one line here."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from gaussavatar.audio.features.api import AudioFeature, FeatureFacts
from gaussavatar.audio.features.join import JoinedFeature
from gaussavatar.errors import UserError

KNOWN: dict[str, str] = {
    name: f"gaussavatar.audio.features.{name}"
    for name in ("mel", "hama", "viseme", "hubert", "wav2vec2", "whisper", "deepspeech", "pitch")
}
"""The features by name, and the module of each."""


def feature_facts(name: str) -> FeatureFacts:
    """What is known of a feature, also where what it requires is not installed.

    Raises:
        UserError: there is none of this name.
    """
    if name not in KNOWN:
        close = difflib.get_close_matches(str(name), KNOWN, n=1)
        hint = f"did you mean {close[0]}?" if close else "name one of these in audio.features"
        raise UserError(f"an audio feature: {', '.join(KNOWN)}", repr(name), hint)
    return import_module(KNOWN[name]).FACTS


BEST, LIGHT = ("mel", "hama"), ("mel", "viseme")
"""The set whose lips measure best (docs/speech.md; the light network has a share in the answer), and the one that needs
nothing installed and streams early."""


def best_features() -> tuple[str, ...]:
    """The best set, without what is not installed here."""
    return tuple(name for name in BEST if not _missing(feature_facts(name)))


def _missing(facts: FeatureFacts) -> list[str]:
    return [package for package in facts.requires if find_spec(package) is None]


def check_features(names: tuple[str, ...]) -> None:
    """Refuse a recipe's or an avatar's list of features that this program cannot mean.

    Raises:
        UserError: it is empty, has a name twice or one that is not known, or begins with one that cannot lead.
    """
    if not names or len(set(names)) < len(names):
        came = "none" if not names else f"one twice in {', '.join(names)}"
        raise UserError("at least one audio feature, each once", came, f"name some of {', '.join(KNOWN)}")
    facts = [feature_facts(name) for name in names]
    if not facts[0].leads:
        able = ", ".join(name for name in KNOWN if feature_facts(name).leads)
        raise UserError(f"a feature first that tells speech from pauses ({able})", names[0], "put mel before it")


@cache
def open_features(names: tuple[str, ...]) -> AudioFeature:
    """The feature of this name, ready to hear; several names are one feature, side by side, and the first leads.

    Raises:
        UserError: not known (see :func:`check_features`), or not installed; the message says what is and how to.
    """
    check_features(names)
    for name in names:
        facts = feature_facts(name)
        missing = _missing(facts)
        if missing:
            raise UserError(
                f"{' and '.join(missing)} for the audio feature {name}",
                "a Python without it",
                f"{facts.install}, name others in audio.features, or speak with --features light",
            )
    parts = [import_module(KNOWN[name]).build() for name in names]
    if len(parts) == 1:
        return parts[0]
    return JoinedFeature(parts)
