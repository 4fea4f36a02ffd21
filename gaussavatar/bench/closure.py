"""Whether the mouth closes: on m, b and p, in silence, and where the real lips of held-out frames close."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gaussavatar.audio.energy import silent_frames
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.evaluate.speech_closures import LipRange, lip_range, phone_closures, real_closures, silence_figures
from gaussavatar.media.sound_file import read_audio
from gaussavatar.synthetic.speech import SILENCE, VOWELS, Phone, babble
from gaussavatar.synthetic.voice import speak_phones
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.layout import FitLayout
from gaussavatar.types import VIDEO_FPS

VOICE_SECONDS = 40.0
VOICES = ((0, 118.0), (1, 205.0))
"""Seed and pitch of each of the demo's voices that are tried."""


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
