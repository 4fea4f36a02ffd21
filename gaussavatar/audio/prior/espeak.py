"""eSpeak NG, a rule-based synthesiser of many languages, spoken to through its shared library.

It reports each phone with the time at which it begins (``espeakEVENT_PHONEME``), which its command does not.
"""

from __future__ import annotations

import ctypes
from ctypes.util import find_library

import numpy as np

from gaussavatar.audio.prior.engine import Spoken
from gaussavatar.errors import UserError

_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 3
_EVENT_LIST_ENDS = 0
_EVENT_PHONEME = 7
_UTF8 = 1
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4

ACCENTS: dict[str, tuple[str, ...]] = {
    "en": ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
    "fr": ("fr", "fr-be", "fr-ch"),
    "de": ("de",),
    "es": ("es", "es-419"),
    "zh": ("cmn-latn-pinyin",),
    "it": ("it",),
    "pt": ("pt-br", "pt"),
    "nl": ("nl",),
    "pl": ("pl",),
    "sv": ("sv",),
    "ru": ("ru",),
    "tr": ("tr",),
}
"""Voices of each language that is spoken here."""

VARIANTS = tuple(
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 "
    "adam anika belinda benjamin david ed gene iven linda max michael norbert quincy rob steph victor".split()
)
"""Throats that any of them may speak with."""


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of ``speak_lib.h``."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The library, opened once per process.

    Raises:
        UserError: it is not installed, or its voices are not.
    """

    name = "espeak-ng"
    languages = tuple("en en en en en en fr fr fr fr de de de es es zh zh it pt nl pl sv ru tr".split())

    def __init__(self) -> None:
        found = find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self._library = ctypes.CDLL(found)
        except OSError as error:
            raise _missing("a machine without its library") from error
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS_IN_IPA)
        if self._rate <= 0:
            raise _missing("its library without its voices")
        self._samples: list[np.ndarray] = []
        self._begun: list[tuple[str, float]] = []
        self._callback = _Callback(self._heard)  # Kept, for the library calls it as long as it speaks.
        self._library.espeak_SetSynthCallback(self._callback)

    def _heard(self, wave: ctypes._Pointer, n: int, events: ctypes._Pointer) -> int:
        if n > 0:
            self._samples.append(np.ctypeslib.as_array(wave, (n,)).astype(np.float32) / 32768.0)
        k = 0
        while events[k].type != _EVENT_LIST_ENDS:
            if events[k].type == _EVENT_PHONEME:
                # Eight bytes, not always ended by a zero.
                name = bytes(events[k].name).split(b"\0")[0].decode("utf-8", "ignore")
                self._begun.append((name, events[k].milliseconds / 1000.0))
            k += 1
        return 0

    def say(self, text: str, language: str, chance: np.random.Generator) -> tuple[str, Spoken | None]:
        """See :class:`gaussavatar.audio.prior.engine.SpeechEngine`.

        Raises:
            UserError: the library lacks the voice.
        """
        accents = ACCENTS[language]
        voice = f"{accents[chance.integers(len(accents))]}+{VARIANTS[chance.integers(len(VARIANTS))]}"
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"the voice {voice} of espeak-ng", "a library without it", "install espeak-ng-data 1.51")
        parameters = (_PARAMETER_RATE, 125, 215), (_PARAMETER_PITCH, 20, 80), (_PARAMETER_RANGE, 30, 80)
        for parameter, low, high in parameters:
            self._library.espeak_SetParameter(parameter, int(chance.integers(low, high)), 0)
        self._samples.clear()
        self._begun.clear()
        data = text.encode()
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        # A change of language in brackets means that a word was spelled out or borrowed.
        if not self._samples or any("(" in name for name, _ in self._begun):
            return voice, None
        samples = np.concatenate(self._samples)
        ends = [start for _, start in self._begun[1:]] + [len(samples) / self._rate]
        phones = [(name, start, end) for (name, start), end in zip(self._begun, ends, strict=True)]
        return voice, Spoken(samples, self._rate, phones)


def _missing(came: str) -> UserError:
    return UserError("espeak-ng", came, "install it (on Debian: apt-get install espeak-ng)")
