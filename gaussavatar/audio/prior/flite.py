"""Flite, a small synthesiser from recorded speech, through its command; ``-psdur`` prints where each phone ends."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from gaussavatar.audio.prior.engine import Spoken
from gaussavatar.errors import UserError

VOICES = ("slt", "rms", "awb", "kal16")

_ARPABET = dict(
    pair.split("=")
    for pair in (
        "aa=ɑ ae=æ ah=ʌ ao=ɔ aw=aʊ ax=ə axr=ɚ ay=aɪ b=b ch=tʃ d=d dh=ð dx=ɾ eh=ɛ el=l em=m en=n er=ɚ ey=eɪ f=f g=g "
        "hh=h hv=h ih=ɪ iy=i jh=dʒ k=k l=l m=m n=n ng=ŋ ow=oʊ oy=ɔɪ p=p r=ɹ s=s sh=ʃ t=t th=θ uh=ʊ uw=u v=v w=w y=j "
        "z=z zh=ʒ"
    ).split()
)
"""The engine's names for phones, and IPA's."""


class Flite:
    """The command, run once per sentence.

    Raises:
        UserError: it is not installed.
    """

    name = "flite"
    languages = ("en",)

    def __init__(self) -> None:
        self._command = shutil.which("flite")
        if self._command is None:
            raise UserError("the program flite", "a PATH without it", "install it (on Debian: apt-get install flite)")

    def say(self, text: str, language: str, chance: np.random.Generator) -> tuple[str, Spoken | None]:
        """See :class:`gaussavatar.audio.prior.engine.SpeechEngine`."""
        voice = VOICES[chance.integers(len(VOICES))]
        stretch = f"duration_stretch={chance.uniform(0.85, 1.25):.2f}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "said.wav"
            command = [str(self._command), "-psdur", "-voice", voice, "--setf", stretch, "-t", text, "-o", str(path)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer.returncode != 0 or not path.exists():
                return voice, None
            samples, rate = _read(path)
        ends = [(name, float(end)) for name, end in re.findall(r"([a-z]+):([\d.]+)", answer.stdout)]
        starts = [0.0, *(end for _, end in ends[:-1])]
        phones = [(_ARPABET.get(name, ""), start, end) for (name, end), start in zip(ends, starts, strict=True)]
        return voice, Spoken(samples, rate, phones)


def _read(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path), "rb") as file:
        data = file.readframes(file.getnframes())
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768.0, file.getframerate()
