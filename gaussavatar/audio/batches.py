"""Training windows: a bank of augmented versions of one recording, gathered from per step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gaussavatar.audio.features.api import AudioFeature, AugmentConfig, Recording
from gaussavatar.audio.normalise import normalise
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
        silence_stretches, silence_length: size of each version's bank of silence; the length in feature frames.
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

    def __init__(
        self, feature: AudioFeature, recording: Recording, config: BatchConfig | None = None, seed: int = 0
    ) -> None:
        self.feature = feature
        self.config = config = config or BatchConfig()
        generator = torch.Generator().manual_seed(seed)
        raw = np.ascontiguousarray(recording.raw, np.float32)
        own = feature.statistics(raw)
        self._window = feature.facts.window
        self._clean = _padded(normalise(raw, own), own.silence)
        pausing = feature.activity(raw) < 0.5
        bank, silence = [], []
        for k in range(config.versions):
            version = raw if k < config.plain_versions else feature.other_voice(recording, config.augment, generator)
            statistics = own
            if k > 0:
                part = _random_part(len(version), int(config.statistics_seconds * self._window.rate), generator)
                statistics = feature.statistics(version[part])
            bank.append(_padded(normalise(version, statistics), statistics.silence))
            heard = version[pausing] if pausing.any() else version
            made = feature.pauses(config.silence_stretches, config.silence_length, heard, generator)
            flat = normalise(made.reshape(-1, made.shape[2]), statistics)
            silence.append(torch.from_numpy(flat).reshape(made.shape))
        self._bank = torch.stack(bank)
        self._silence = torch.stack(silence)
        self._reach = torch.from_numpy(self._window.steps)

    def _index(self, frames: Int[Tensor, "b"]) -> Int[Tensor, "b w"]:
        centres = torch.from_numpy(self._window.centres(frames.numpy(), VIDEO_FPS, self.config.offset_frames))
        # Row 0 of the padded features stands for everything outside the recording.
        index = centres[:, None] + self._reach + 1
        return torch.where((index < 1) | (index >= self._bank.shape[1]), 0, index)

    def sample(self, frame_indices: Int[Tensor, "b"], generator: torch.Generator) -> Float[Tensor, "b w d"]:
        """One window per video frame, each from a version drawn at random."""
        version = torch.randint(len(self._bank), (len(frame_indices), 1), generator=generator)
        return self._bank[version, self._index(frame_indices)]

    def clean(self, frame_indices: Int[Tensor, "b"]) -> Float[Tensor, "b w d"]:
        """Windows of the recording itself, normalised with its own statistics."""
        return self._clean[self._index(frame_indices)]

    def silence(self, b: int, generator: torch.Generator) -> Float[Tensor, "b w d"]:
        """Windows of synthetic silence as it sounds in pauses of the versions."""
        version = torch.randint(len(self._bank), (b, 1), generator=generator)
        stretch = torch.randint(self._silence.shape[1], (b, 1), generator=generator)
        length = self._window.length
        start = torch.randint(self._silence.shape[2] - length + 1, (b, 1), generator=generator)
        return self._silence[version, stretch, start + torch.arange(length)]

    def every_version(self, frame_indices: Int[Tensor, "b"]) -> Float[Tensor, "v b w d"]:
        """The windows of all versions; 5 kB each for log-mel, so for few frames at a time."""
        return self._bank[:, self._index(frame_indices)]


def _padded(normalised: np.ndarray, silence: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([silence[None], normalised]).astype(np.float32))


def _random_part(n: int, shortest: int, generator: torch.Generator) -> slice:
    shortest = min(n, shortest)
    length = int(torch.randint(shortest, n + 1, (1,), generator=generator))
    start = int(torch.randint(0, n - length + 1, (1,), generator=generator))
    return slice(start, start + length)
