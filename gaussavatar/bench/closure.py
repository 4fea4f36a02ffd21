"""Whether the mouth closes: on m, b and p, in silence, and where the real lips of held-out frames close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from gaussavatar.audio.energy import silent_frames
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.intervals import true_runs
from gaussavatar.landmarks.measures import lip_aperture
from gaussavatar.media.ffmpeg import read_audio
from gaussavatar.synthetic.speech import SILENCE, VOWELS, Phone, babble
from gaussavatar.synthetic.voice import speak_phones
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.layout import FitLayout
from gaussavatar.types import VIDEO_FPS, FaceMotion

LABIALS = ("m", "b", "p")
OPEN_VOWELS = ("a", "e", "o")
"""Vowels whose mouth is open in the demo's language, as in most: the contrast to :data:`LABIALS`."""

SHUT = 0.25
"""Relative opening under which lips count as closed: people's lips of a shut mouth lie within a quarter of their range
in landmarks, which never report a gap of zero."""

NEAR_FRAMES = 2
VOICE_SECONDS = 40.0
VOICES = ((0, 118.0), (1, 205.0))
"""Seed and pitch of each of the demo's voices that are tried."""


@dataclass(frozen=True)
class LipRange:
    """A person's lips, from motion codes to relative opening: 0 is the closed mouth, 1 its 95th percentile."""

    motion: FaceMotion
    shape: Float[np.ndarray, "478 3"]
    shut: float
    wide: float

    def opening(self, codes: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n"]:
        """Relative opening of the lips that mouth codes stand for."""
        points = self.shape + np.tensordot(codes, self.motion.mouth_basis, 1)
        return (lip_aperture(points) - self.shut) / max(self.wide - self.shut, 1e-6)


def lip_range(
    motion: FaceMotion,
    shape: Float[np.ndarray, "478 3"],
    closed: Float[np.ndarray, "m"],
    learnt_from: Bool[np.ndarray, "n"],
) -> LipRange:
    """The range between the closed code and the 95th percentile over the frames that were learnt from."""
    absolute = LipRange(motion, shape, 0.0, 1.0)
    wide = float(np.percentile(absolute.opening(motion.mouth_codes[learnt_from]), 95))
    return LipRange(motion, shape, float(absolute.opening(closed[None])[0]), wide)


def phone_closures(
    opening: Float[np.ndarray, "n"], phones: Sequence[Phone], fps: float = VIDEO_FPS
) -> dict[str, float]:
    """How often the lips close on m, b and p, and stay shut in open vowels.

    A labial counts as closed if the smallest opening within its time, half a frame more on either side, is below
    :data:`SHUT`; a vowel if its mean opening is.
    """
    centres = (np.arange(len(opening)) + 0.5) / fps
    labial, vowel = [], []
    for phone in phones:
        margin = 0.5 / fps if phone.symbol in LABIALS else 0.0
        inside = (centres >= phone.start - margin) & (centres <= phone.end + margin)
        if phone.symbol in LABIALS and inside.any():
            labial.append(float(opening[inside].min()))
        elif phone.symbol in OPEN_VOWELS and inside.any():
            vowel.append(float(opening[inside].mean()))
    return {
        "labials": len(labial),
        "labials_closed": float((np.array(labial) < SHUT).mean()),
        "vowels_closed": float((np.array(vowel) < SHUT).mean()),
        "labial_opening": float(np.mean(labial)),
        "vowel_opening": float(np.mean(vowel)),
    }


def silence_figures(opening: Float[np.ndarray, "n"], silent: Bool[np.ndarray, "n"]) -> dict[str, float]:
    """Mean relative opening in pauses and in speech; nan where there is none of it."""
    return {
        "silence_opening": float(opening[silent].mean()) if silent.any() else float("nan"),
        "speech_opening": float(opening[~silent].mean()) if (~silent).any() else float("nan"),
        "silence_closed": float((opening[silent] < SHUT).mean()) if silent.any() else float("nan"),
    }


def closures(opening: Float[np.ndarray, "n"], threshold: float = SHUT) -> Int[np.ndarray, "k"]:
    """Frames at which the lips close: the smallest opening of every run of frames below ``threshold``."""
    return np.array([a + int(np.argmin(opening[a:b])) for a, b in true_runs(opening < threshold)], int)


def real_closures(predicted: Float[np.ndarray, "n"], real: Float[np.ndarray, "n"]) -> dict[str, float]:
    """Closures of the real lips that the predicted ones make within :data:`NEAR_FRAMES`, and those they invent."""

    def met(events: np.ndarray, other: np.ndarray) -> float:
        if len(events) == 0:
            return float("nan")
        hits = [(other[max(0, k - NEAR_FRAMES) : k + NEAR_FRAMES + 1] < SHUT).any() for k in events]
        return float(np.mean(hits))

    wanted, made = closures(real), closures(predicted)
    return {
        "real_closures": len(wanted),
        "closure_recall": met(wanted, predicted),
        "made_closures": len(made),
        "false_closures": 1.0 - met(made, real),
        "closed_share_real": float((real < SHUT).mean()),
        "closed_share": float((predicted < SHUT).mean()),
    }


def bench_closure(folder: Path, audio: Path | None = None) -> dict[str, float]:
    """Closure of the lips that an avatar's audio network asks for; nothing is rendered.

    The voices with known phones are the demo's own synthesiser (:mod:`gaussavatar.synthetic.voice`); the real lips are
    the held-out frames of the avatar's clip; ``audio`` is any sound for the figures of silence.

    Raises:
        UserError: the avatar's capture folder is gone, or a sound cannot be read.
    """
    capture = FitLayout(folder).capture
    if not capture.motion.exists():
        raise UserError(
            f"the tracked lips in {capture.folder}",
            "a folder without them",
            "fit the avatar again, or keep its capture/",
        )
    avatar = load_avatar(folder)
    motion, tracking = load_motion(capture.motion), load_tracking(capture.tracking)
    n = len(motion.mouth_codes)
    learnt = np.arange(n) < n - round(n * float(avatar.record.held_out))
    lips = lip_range(motion, tracking.shape, avatar.closed.numpy(), learnt & tracking.valid)
    figures = _synthetic(avatar, lips)
    spoken = avatar.codes_for_audio(read_audio(capture.audio), n)
    figures |= real_closures(lips.opening(spoken[~learnt]), lips.opening(motion.mouth_codes[~learnt]))
    if audio is not None:
        waveform = read_audio(audio)
        codes = avatar.codes_for_audio(waveform)
        figures |= silence_figures(lips.opening(codes), silent_frames(waveform, len(codes)))
    return figures


def _synthetic(avatar: LoadedAvatar, lips: LipRange) -> dict[str, float]:
    """Mean of the figures over the demo's voices; silence is where its phones are silent for 0.2 s or more."""
    rows = []
    for seed, pitch in VOICES:
        phones = babble(VOICE_SECONDS, seed + 2_000_000)
        opening = lips.opening(avatar.codes_for_audio(speak_phones(phones, seed, pitch_hz=pitch)))
        rows.append(phone_closures(opening, phones) | voice_silence(opening, phones))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def voice_silence(opening: Float[np.ndarray, "n"], phones: Sequence[Phone]) -> dict[str, float]:
    """Mean relative opening in the middle of the synthetic voice's pauses, and in its vowels."""
    centres = (np.arange(len(opening)) + 0.5) / VIDEO_FPS

    def mean(symbols: Sequence[str], margin: float) -> float:
        spans = [p for p in phones if p.symbol in symbols and p.end - p.start > 2 * margin]
        inside = np.zeros(len(opening), bool)
        for phone in spans:
            inside |= (centres >= phone.start + margin) & (centres <= phone.end - margin)
        return float(opening[inside].mean()) if inside.any() else float("nan")

    return {"voice_silence_opening": mean((SILENCE,), 0.1), "voice_vowel_opening": mean(VOWELS, 0.0)}
