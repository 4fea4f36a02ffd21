"""Training windows: a bank of augmented versions of one recording, gathered from per step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from gaussavatar.audio.augment import AugmentConfig, augment_mel, silence_windows
from gaussavatar.audio.mel import (
    MEL_RATE,
    N_MELS,
    WINDOW_LENGTH,
    WINDOW_RADIUS,
    mel_statistics,
    normalise,
    speech_activity,
    window_centres,
)
from gaussavatar.types import VIDEO_FPS


@dataclass(frozen=True)
class BatchConfig:
    """What the bank holds.

    Attributes:
        versions: augmented versions of the whole recording.
        plain_versions: how many of them keep the recorded voice.
        statistics_seconds: shortest stretch that a version's statistics are taken from
            (the longest is all of it), so that the encoder learns to live with
            statistics of a short driving sound.
        offset_frames: shift of sound against picture in this recording, in video frames.
        silence_stretches, silence_length: size of each version's bank of silence.
        augment: how the versions differ.
    """

    versions: int = 24
    plain_versions: int = 10
    statistics_seconds: float = 8.0
    offset_frames: float = 0.0
    silence_stretches: int = 24
    silence_length: int = 80
    augment: AugmentConfig = field(default_factory=AugmentConfig)


class AudioBatcher:
    """Augmented and normalised windows of one recording, cheap per call.

    Building it costs about a second per minute of sound; a call gathers. What comes out
    is a function of the seed and of the generators handed in.
    """

    def __init__(self, mel: Float32[np.ndarray, "t 40"], config: BatchConfig | None = None, seed: int = 0) -> None:
        self.config = config = config or BatchConfig()
        generator = torch.Generator().manual_seed(seed)
        raw = torch.from_numpy(np.ascontiguousarray(mel, np.float32))
        own = mel_statistics(mel)
        self._clean = _padded(normalise(mel, own), own.silence)
        activity = speech_activity(mel)
        bank, silence = [], []
        for k in range(config.versions):
            version = raw if k < config.plain_versions else augment_mel(raw, config.augment, generator)
            array = version.numpy()
            if k > 0:
                part = _random_part(len(array), config.statistics_seconds, generator)
                statistics = mel_statistics(array[part])
            else:
                statistics = own
            bank.append(_padded(normalise(array, statistics), statistics.silence))
            pauses = array[activity < 0.5] if (activity < 0.5).any() else array
            level = torch.from_numpy(np.percentile(pauses, 30, axis=0).astype(np.float32))
            silence.append(
                silence_windows(config.silence_stretches, config.silence_length, level, statistics, generator)
            )
        self._bank = torch.stack(bank)
        self._silence = torch.stack(silence)
        self._reach = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1)

    def _index(self, frames: Int[Tensor, "b"]) -> Int[Tensor, "b 33"]:
        centres = torch.from_numpy(window_centres(frames.numpy(), VIDEO_FPS, self.config.offset_frames))
        # Row 0 of the padded features stands for everything outside the recording.
        index = centres[:, None] + self._reach + 1
        return torch.where((index < 1) | (index >= self._bank.shape[1]), 0, index)

    def sample(self, frame_indices: Int[Tensor, "b"], generator: torch.Generator) -> Float[Tensor, "b 33 40"]:
        """One window per video frame, each from a version drawn at random."""
        version = torch.randint(len(self._bank), (len(frame_indices), 1), generator=generator)
        return self._bank[version, self._index(frame_indices)]

    def clean(self, frame_indices: Int[Tensor, "b"]) -> Float[Tensor, "b 33 40"]:
        """Windows of the recording itself, normalised with its own statistics."""
        return self._clean[self._index(frame_indices)]

    def silence(self, b: int, generator: torch.Generator) -> Float[Tensor, "b 33 40"]:
        """Windows of synthetic silence as it sounds in pauses of the versions."""
        version = torch.randint(len(self._bank), (b, 1), generator=generator)
        stretch = torch.randint(self._silence.shape[1], (b, 1), generator=generator)
        start = torch.randint(self._silence.shape[2] - WINDOW_LENGTH + 1, (b, 1), generator=generator)
        return self._silence[version, stretch, start + torch.arange(WINDOW_LENGTH)]

    def every_version(self, frame_indices: Int[Tensor, "b"]) -> Float[Tensor, "v b 33 40"]:
        """The windows of all versions; 33 x 40 x 4 bytes each, so for few frames at a time."""
        return self._bank[:, self._index(frame_indices)]


def _padded(normalised: np.ndarray, silence: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([silence[None], normalised]).astype(np.float32)).reshape(-1, N_MELS)


def _random_part(n: int, seconds: float, generator: torch.Generator) -> slice:
    shortest = min(n, int(seconds * MEL_RATE))
    length = int(torch.randint(shortest, n + 1, (1,), generator=generator))
    start = int(torch.randint(0, n - length + 1, (1,), generator=generator))
    return slice(start, start + length)
