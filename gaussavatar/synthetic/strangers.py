"""Voices that no avatar was fitted to, saying sentences with known sounds, in three languages.

They come from the speech engines that are installed, espeak-ng and flite (:mod:`gaussavatar.audio.prior`), and say what
is full of m, b and p. The audio feature ``viseme`` learnt from other sentences of these engines, which flatters it
here. Beside them therefore stand voices that nothing learnt from: the demo's own synthesiser in other pitches and
throats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import resample

from gaussavatar.audio.features.viseme_network import CLASSES
from gaussavatar.audio.prior.engine import SpeechEngine, Spoken
from gaussavatar.audio.prior.espeak import Espeak
from gaussavatar.audio.prior.flite import Flite
from gaussavatar.audio.prior.phones import SILENCE as NO_SOUND
from gaussavatar.audio.prior.phones import UnknownPhone, segments_of
from gaussavatar.errors import UserError
from gaussavatar.evaluate.speech_voices import Sound, Voice
from gaussavatar.media.sound import as_waveform
from gaussavatar.media.sound_file import read_audio
from gaussavatar.synthetic.speech import SILENCE, Phone, babble
from gaussavatar.synthetic.voice import speak_phones
from gaussavatar.types import ANALYSIS_RATE, Waveform

TEXTS = {
    "en": "My mother bought a big brown boat, but both of them wish to move the table before five. "
    "Please bring me the map from the top of the cupboard, and maybe somebody will be happy.",
    "fr": "Ma mère a mangé une bonne pomme avant de prendre le petit bateau bleu. "
    "Personne ne peut me dire combien de temps il faut pour emballer la lampe.",
    "de": "Meine Mutter bat uns, das bunte Boot am Abend bis zum Bahnhof zu bringen. "
    "Bitte gib mir bald die Lampe und das Buch, bevor man mich im Park empfängt.",
}
"""Own sentences."""

COUNTS = {"en": 5, "fr": 3, "de": 3}
"""Voices of espeak-ng in each language; flite adds its four English ones."""

OWN = tuple((seed, pitch, tract) for seed, (pitch, tract) in enumerate(
    ((95.0, 0.9), (110.0, 1.0), (125.0, 0.95), (140.0, 1.05), (170.0, 1.0), (190.0, 1.1), (210.0, 1.15), (240.0, 1.2))
))  # fmt: skip
"""Seed, pitch (Hz) and factor on the resonances of the demo's voices."""

OWN_SECONDS, OWN_SEED = 12.0, 3_000_337
"""Made-up sentences that no demo's actor speaks, with 17 m, b and p."""

REAL_SECONDS = 30.0
EDGE_SECONDS = 0.5
"""Silence before and after an engine's sentence."""

_TRIES = 12


def strange_voices() -> tuple[list[Voice], list[str]]:
    """The voices of the engines that are here and the demo's own, and a line for each engine that is missing."""
    voices: list[Voice] = []
    missing: list[str] = []
    for engine_of, counts in ((Flite, {"en": 4}), (Espeak, COUNTS)):
        try:
            engine = engine_of()
        except UserError as error:
            missing.append(str(error))
            continue
        for language, count in counts.items():
            voices += engine_voices(engine, language, count)
    return [*voices, *own_voices()], missing


def engine_voices(engine: SpeechEngine, language: str, count: int) -> list[Voice]:
    """Different voices of an engine that say the same; fewer than ``count`` where it has no more.

    An engine draws its voice, pace and pitch by chance: the seeds 0, 1, 2 and so on are tried in turn.
    """
    found: dict[str, Voice] = {}
    for seed in range(_TRIES * count):
        if len(found) == count:
            break
        name, spoken = engine.say(TEXTS[language], language, np.random.default_rng(seed))
        sounds = None if spoken is None or name in found else _sounds(spoken)
        if spoken is not None and sounds is not None:
            waveform = as_waveform((spoken.samples, spoken.rate))
            title = f"{engine.name} {name}"
            found[name] = _between_silences(Voice(title, "engine", language, TEXTS[language], waveform, sounds))
    return list(found.values())


def own_voices() -> list[Voice]:
    """The demo's synthesiser in other pitches and throats, all saying the same made-up sentences."""
    phones = babble(OWN_SECONDS, OWN_SEED)
    voices = []
    for seed, pitch, tract in OWN:
        # Spoken slower and lower, then played faster: the resonances rise and the times come out as they were.
        slow = tuple(Phone(p.symbol, p.start * tract, p.end * tract, p.stress) for p in phones)
        spoken = speak_phones(slow, seed, pitch_hz=pitch / tract).samples
        samples = resample(spoken, round(OWN_SECONDS * ANALYSIS_RATE)).astype(np.float32)
        sounds = tuple(Sound("" if p.symbol == SILENCE else p.symbol, p.start, p.end) for p in phones)
        name = f"demo {pitch:.0f} Hz x{tract:g}"
        voices.append(Voice(name, "demo", "", "demo", Waveform(samples, ANALYSIS_RATE), sounds))
    return voices


def recordings(paths: Sequence[Path]) -> list[Voice]:
    """The user's recordings of real voices, the first 30 seconds of each.

    Raises:
        UserError: one cannot be read.
    """
    voices = []
    for path in paths:
        whole = read_audio(path)
        waveform = Waveform(whole.samples[: round(REAL_SECONDS * whole.rate)], whole.rate)
        voices.append(Voice(path.stem, "real", "", "", waveform))
    return voices


def _sounds(spoken: Spoken) -> tuple[Sound, ...] | None:
    """The sounds of an engine as classes of visemes, or None where it named one that is not known."""
    try:
        segments = segments_of(spoken.phones)
    except UnknownPhone:
        return None
    # Flite's kal16 counts its sounds a hundredth too long.
    scale = min(1.0, len(spoken.samples) / spoken.rate / segments[-1].end)
    return tuple(Sound("" if kind == NO_SOUND else CLASSES[kind], a * scale, b * scale) for a, b, kind in segments)


def _between_silences(voice: Voice) -> Voice:
    """The same with digital silence before and after."""
    quiet = np.zeros(round(EDGE_SECONDS * voice.waveform.rate), np.float32)
    waveform = Waveform(np.concatenate([quiet, voice.waveform.samples, quiet]), voice.waveform.rate)
    sounds = [Sound(s.symbol, s.start + EDGE_SECONDS, s.end + EDGE_SECONDS) for s in voice.sounds]
    edges = Sound("", 0.0, EDGE_SECONDS), Sound("", sounds[-1].end, waveform.seconds)
    return replace(voice, waveform=waveform, sounds=(edges[0], *sounds, edges[1]))
