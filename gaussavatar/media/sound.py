"""Sound from wherever a program has it: a file, an array, or what was read before."""

from __future__ import annotations

from math import gcd
from pathlib import Path

import numpy as np

from gaussavatar.errors import UserError
from gaussavatar.media.sound_file import read_audio
from gaussavatar.types import ANALYSIS_RATE, Waveform

Sound = Path | str | Waveform | tuple[np.ndarray, int]
"""A file that ffmpeg reads, a :class:`Waveform`, or samples and their rate: (t,) or (t, channels), float in -1..1 or
16-bit integers."""


def as_waveform(sound: Sound) -> Waveform:
    """Any :data:`Sound` as mono at the rate that the features are computed from.

    Raises:
        UserError: no such file, no sound in it, or an array that is none.
    """
    if isinstance(sound, str | Path):
        return read_audio(Path(sound))
    if not isinstance(sound, Waveform) and not (isinstance(sound, tuple) and len(sound) == 2):
        do = "give a path, a Waveform, or (samples, rate)"
        raise UserError("a sound: a path, a Waveform, or samples and their rate", type(sound).__name__, do)
    samples, rate = (sound.samples, sound.rate) if isinstance(sound, Waveform) else sound
    origin = (sound.file, sound.start) if isinstance(sound, Waveform) else ()
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer):
        raise UserError("samples per second as a whole number", repr(rate), "give (samples, rate)")
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or len(samples) == 0 or not 1000 <= rate <= 1_000_000:
        came = f"an array of shape {samples.shape} at {rate} samples per second"
        raise UserError("samples (t,) or (t, channels) at 1000 or more per second", came, "give a sound's samples")
    if samples.ndim == 2 and samples.shape[1] > 64:
        raise UserError("samples of shape (t, channels)", f"{samples.shape}", "turn the array: samples.T")
    if np.issubdtype(samples.dtype, np.integer):
        if samples.dtype != np.int16:
            raise UserError("samples as float in -1..1 or as int16", str(samples.dtype), "convert them first")
        samples = samples / np.float32(32768)
    mono = samples.astype(np.float32) if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise UserError("a sound with finite samples", "NaN or infinity in it", "give another one")
    if rate == ANALYSIS_RATE:
        return Waveform(mono, rate, *origin)
    from scipy.signal import resample_poly

    common = gcd(ANALYSIS_RATE, int(rate))
    changed = resample_poly(mono, ANALYSIS_RATE // common, int(rate) // common)
    return Waveform(np.clip(changed, -1, 1).astype(np.float32), ANALYSIS_RATE, *origin)
