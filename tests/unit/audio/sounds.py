"""Made-up speech: as sound, and as log-mel."""

from __future__ import annotations

import numpy as np
import torch

from gaussavatar.audio.batches import BatchConfig, Voice
from gaussavatar.audio.features.mel import FACTS, MEL, mel_statistics, speech_activity
from gaussavatar.audio.features.mel_augment import augment_mel, silence_mel
from gaussavatar.audio.features.mel_bands import N_MELS, log_mel
from gaussavatar.audio.normalise import normalise
from gaussavatar.audio.windows import windows
from gaussavatar.types import ANALYSIS_RATE, Waveform


def speech_like(seconds: float, seed: int = 0, noise: float = 1e-3) -> Waveform:
    """Bursts of a buzzing voice with moving formants, pauses between them, over steady noise."""
    rng = np.random.default_rng(seed)
    n = int(seconds * ANALYSIS_RATE)
    t = np.arange(n) / ANALYSIS_RATE
    voice = np.zeros(n)
    for harmonic in range(1, 30):
        wobble = np.interp(t, np.arange(0, seconds + 1, 0.15), rng.uniform(0, 1, len(np.arange(0, seconds + 1, 0.15))))
        voice += wobble / harmonic * np.sin(2 * np.pi * 120 * harmonic * t + rng.uniform(0, 6))
    gate = (t / 0.4).astype(int) % 4 != 3
    return Waveform((0.1 * voice * gate + noise * rng.standard_normal(n)).astype(np.float32), ANALYSIS_RATE)


def spoken(pattern: str, seed: int = 0, noise: float = 1e-3) -> Waveform:
    """One character per 100 ms: a letter is a syllable of its own loudness and colour, a dot a pause."""
    rng = np.random.default_rng(seed)
    piece = ANALYSIS_RATE // 10
    t = np.arange(piece * len(pattern)) / ANALYSIS_RATE
    sound = np.zeros(len(t))
    for k, letter in enumerate(pattern):
        if letter == ".":
            continue
        part = slice(k * piece, (k + 1) * piece)
        formant = 300.0 + 60.0 * (ord(letter) - ord("a"))
        for harmonic in range(1, 25):
            f = 130.0 * harmonic
            size = np.exp(-(((f - formant) / 250.0) ** 2)) + 0.3 * np.exp(-(((f - 4 * formant) / 500.0) ** 2))
            sound[part] += 0.2 * (size + 0.01) * np.sin(2 * np.pi * f * t[part])
    return Waveform((sound + noise * rng.standard_normal(len(t))).astype(np.float32), ANALYSIS_RATE)


SENTENCE = "abcmkde........fghkmib....ackdeg.........."


def own_windows(waveform: Waveform, n: int) -> np.ndarray:
    mel = log_mel(waveform)
    statistics = mel_statistics(mel)
    return windows(normalise(mel, statistics), n, FACTS.window, fill=statistics.silence)


def long_speech(seconds: int = 24, seed: int = 1) -> Waveform:
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("abcdefghijklm...."), seconds * 10)
    return spoken("".join(letters), seed)


def babble(t: int, seed: int = 0) -> np.ndarray:
    """Raw log-mel of made-up speech: smooth band modulations, with pauses."""
    rng = np.random.default_rng(seed)
    kernel = np.hanning(15) / np.hanning(15).sum()
    slow = rng.standard_normal((t + 14, 5)) @ rng.standard_normal((5, N_MELS))
    smooth = np.stack([np.convolve(slow[:, k], kernel, "valid") for k in range(N_MELS)], 1)
    speaking = np.repeat(rng.uniform(size=t // 50 + 1) > 0.25, 50)[:t, None]
    speech = -8.0 + 3.0 * smooth + np.linspace(0, -3, N_MELS)
    return np.where(speaking, speech, -14.0 + 0.5 * rng.standard_normal((t, N_MELS))).astype(np.float32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def own_normalised(raw: np.ndarray) -> np.ndarray:
    """Log-mel normalised with its own statistics."""
    return normalise(raw, MEL.statistics(raw))


def mel_voices(mel: np.ndarray, config: BatchConfig, seed: int = 0) -> list[Voice]:
    """What :func:`gaussavatar.audio.batches.voices` makes of a sound, from its log-mel alone."""
    chance = torch.Generator().manual_seed(seed)
    pausing = mel[speech_activity(mel) < 0.5] if (speech_activity(mel) < 0.5).any() else mel
    level = torch.from_numpy(np.percentile(pausing, 30, axis=0).astype(np.float32))
    made = []
    for k in range(1 + config.versions - config.plain_versions):
        raw = mel if k == 0 else augment_mel(torch.from_numpy(mel), config.augment, chance).numpy()
        made.append(Voice(raw, silence_mel(24, 80, level, chance).numpy()))
    return made
