"""Training windows: a bank of augmented versions of one recording, gathered from per step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, Int
from torch import Tensor

from gaussavatar.audio.features.api import AudioFeature, AugmentConfig
from gaussavatar.audio.features.join import JoinedFeature
from gaussavatar.audio.features.other_voices import (
    DrawnPauses,
    DrawnVoice,
    draw_pauses,
    draw_voice,
    pauses_of,
    said_by,
)
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.normalise import normalise
from gaussavatar.errors import UserError
from gaussavatar.parallel import ordered_map, take_share, usable_cores
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.types import VIDEO_FPS, Waveform

ENOUGH_FRAMES = 60_000
"""Feature frames that say well enough what a bank sounds like (about 16 MB)."""

TOGETHER_SECONDS = 3600.0
"""Sound that is made and heard at a time; a second of it takes a third of a megabyte of memory while it is."""


@dataclass(frozen=True)
class BatchConfig:
    """What the bank holds.

    Attributes:
        versions: versions of the whole recording.
        plain_versions: how many of them keep the recorded voice.
        most_minutes: sound in all versions together, beyond which there are fewer of other voices, at least four: a
            long recording needs them less, and its bank stays small.
        statistics_seconds: shortest stretch that a version's statistics are taken from
            (the longest is all of it), so that the encoder learns to live with
            statistics of a short driving sound.
        offset_frames: shift of sound against picture in this recording, in video frames.
        silence_stretches, silence_seconds: made-up pauses of each voice, and how long each is.
        augment: how the versions differ.
    """

    versions: int = 14
    plain_versions: int = 6
    most_minutes: float = 30.0
    statistics_seconds: float = 8.0
    offset_frames: float = 0.0
    silence_stretches: int = 10
    silence_seconds: float = 0.8
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def other_voices(self, seconds: float) -> int:
        """How many other voices a recording of so many seconds gets."""
        wished = max(0, self.versions - self.plain_versions)
        fitting = int(60.0 * self.most_minutes / max(seconds, 1.0)) - self.plain_versions
        return min(wished, max(fitting, 4))


@dataclass(frozen=True)
class Voice:
    """Raw features of one voice saying the recording, and of made-up pauses as they sound around it."""

    raw: Float32[np.ndarray, "t d"]
    pauses: Float32[np.ndarray, "p length d"]


def voices(feature: AudioFeature, waveform: Waveform, config: BatchConfig, seed: int) -> Iterator[Voice]:
    """The recorded voice, then other voices in other rooms, all heard anew from sound.

    Several are made and heard at a time, in threads, for what is slow in it lets go of Python; chance is drawn voice
    by voice, before. Values are rounded to what 16 bits hold, so that a bank read from disk is the one that was made.
    """
    generator = torch.Generator().manual_seed(seed)
    count, cores = 1 + config.other_voices(waveform.seconds), usable_cores()
    # Where columns come from a file, chance asks what was heard: one after the other.
    at_once = 1 if feature.facts.beside else int(TOGETHER_SECONDS / max(waveform.seconds, 1.0))
    workers = max(1, min(count, cores, at_once))
    drawn = (_drawn(feature, waveform, config, generator, other=k > 0) for k in range(count))

    def hear(one: _Drawn) -> tuple[np.ndarray, np.ndarray]:
        sound = waveform if one.voice is None else said_by(one.voice, waveform)
        raw = feature.extract(sound)
        if one.pauses is None:
            return raw, _pauses_within(feature, raw[: n or None], config, generator)
        return raw, _heard_apart(feature, pauses_of(one.pauses, sound))

    n = 0
    share = -(-cores // workers)
    with _one_torch_thread(), ThreadPoolExecutor(workers, initializer=take_share, initargs=(share,)) as pool:
        for raw, pauses in ordered_map(pool, hear, drawn, workers + 1) if workers > 1 else map(hear, drawn):
            n = n or len(raw)
            yield Voice(_rounded(raw[:n]), _rounded(pauses))


@dataclass(frozen=True)
class _Drawn:
    """All chance of a voice; None for the recorded one, and for pauses that lie in the recording."""

    voice: DrawnVoice | None
    pauses: DrawnPauses | None


def _drawn(
    feature: AudioFeature, waveform: Waveform, config: BatchConfig, generator: torch.Generator, *, other: bool
) -> _Drawn:
    voice = draw_voice(len(waveform.samples), config.augment, generator) if other else None
    if feature.facts.beside:
        return _Drawn(voice, None)
    return _Drawn(voice, draw_pauses(config.silence_stretches, config.silence_seconds, generator))


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Threads that are started inside work with one thread of torch each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pauses_within(
    feature: AudioFeature, raw: np.ndarray, config: BatchConfig, generator: torch.Generator
) -> Float32[np.ndarray, "p length d"]:
    """Pauses of the recording itself."""
    pausing = raw[feature.activity(raw) < 0.5]
    pausing = pausing if len(pausing) else raw
    start = torch.randint(len(pausing), (config.silence_stretches, 1), generator=generator).numpy()
    length = round(config.silence_seconds * feature.facts.window.rate)
    return pausing[(start + np.arange(length)) % len(pausing)]


def _heard_apart(feature: AudioFeature, stretches: Sequence[Waveform]) -> Float32[np.ndarray, "p length d"]:
    """Features of stretches, which are heard one after the other for speed."""
    joined = Waveform(np.concatenate([one.samples for one in stretches]), stretches[0].rate)
    raw = feature.extract(joined)
    length = (len(raw) - 1) // len(stretches)
    return raw[: length * len(stretches)].reshape(len(stretches), length, -1)


def _rounded(raw: np.ndarray) -> np.ndarray:
    return raw.astype(np.float16).astype(np.float32)


def kept_voices(
    path: Path | None, key: str, make: Callable[[], Iterator[Voice]], advance: Callable[[int], None] | None = None
) -> list[Voice]:
    """The voices that a file keeps under this key, else freshly made ones, which it keeps from then on."""
    if path is not None and path.exists():
        try:
            arrays, facts = read_arrays(path)
        except UserError:
            arrays, facts = {}, {}
        if facts.get("key") == key and arrays:
            whole = {name: array.astype(np.float32) for name, array in arrays.items()}
            return [Voice(whole[f"raw{k}"], whole[f"pauses{k}"]) for k in range(len(whole) // 2)]
    made = []
    for voice in make():
        made.append(voice)
        if advance is not None:
            advance(1)
    if path is not None:
        arrays = {f"raw{k}": voice.raw.astype(np.float16) for k, voice in enumerate(made)}
        arrays |= {f"pauses{k}": voice.pauses.astype(np.float16) for k, voice in enumerate(made)}
        write_arrays(path, arrays, {"key": key})
    return made


class AudioBatcher:
    """Augmented and normalised windows of one recording, cheap per call.

    What comes out is a function of the seed and of the generators handed in.

    Args:
        feature: what is heard.
        waveform: the recording, or what was made of it already (see :func:`voices`).
        config: the bank.
        seed: of everything random in it.
    """

    def __init__(
        self,
        feature: AudioFeature,
        waveform: Waveform | Sequence[Voice],
        config: BatchConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.feature = feature
        self.config = config = config or BatchConfig()
        heard = list(voices(feature, waveform, config, seed)) if isinstance(waveform, Waveform) else list(waveform)
        generator = torch.Generator().manual_seed(seed + 1)
        own = self.own = feature.statistics(heard[0].raw)
        self._window = feature.facts.window
        self._clean = _padded(normalise(heard[0].raw, own), own.silence)
        bank, silence = [], []
        for k, voice in enumerate([heard[0]] * max(1, config.plain_versions) + heard[1:]):
            statistics = own
            if k > 0:
                part = _random_part(len(voice.raw), int(config.statistics_seconds * self._window.rate), generator)
                statistics = feature.statistics(voice.raw[part])
            bank.append(_padded(normalise(voice.raw, statistics), statistics.silence))
            flat = normalise(voice.pauses.reshape(-1, voice.pauses.shape[2]), statistics)
            silence.append(torch.from_numpy(flat).reshape(voice.pauses.shape))
        self._bank = torch.stack(bank).half()
        self._silence = torch.stack(silence)
        self._reach = torch.from_numpy(self._window.steps)

    def narrowed(self, names: Sequence[str]) -> AudioBatcher:
        """The same bank as a network hears it that is given only some of the features.

        Raises:
            ValueError: one of them was not heard, or the first of them is of another rate or window.
        """
        if tuple(names) == self.feature.facts.names:
            return self
        feature = open_features(tuple(names))
        if not isinstance(self.feature, JoinedFeature) or feature.facts.window != self._window:
            raise ValueError(f"{', '.join(names)} cannot be told apart from {', '.join(self.feature.facts.names)}")
        columns = torch.from_numpy(self.feature.columns_of(names))
        first, last = int(columns[0]), int(columns[-1]) + 1
        # A stretch of columns is a view of the bank; others are copied.
        chosen = slice(first, last) if last - first == len(columns) else columns
        other = copy.copy(self)
        other.feature = feature
        other._bank, other._silence = self._bank[..., chosen], self._silence[..., chosen]
        other._clean = self._clean[..., chosen]
        return other

    @property
    def bank(self) -> tuple[Float16[Tensor, "v t d"], Float[Tensor, "v p l d"]]:
        """Feature frames of every version after a row for all that lies outside, and its made-up pauses."""
        return self._bank, self._silence

    def rows(self, frames: Int[Tensor, "b"]) -> Int[Tensor, "b w"]:
        """Rows of the bank in the window of each video frame."""
        centres = torch.from_numpy(self._window.centres(frames.numpy(), VIDEO_FPS, self.config.offset_frames))
        # Row 0 of the padded features stands for everything outside the recording.
        index = centres[:, None] + self._reach + 1
        return torch.where((index < 1) | (index >= self._bank.shape[1]), 0, index)

    def sample(self, frame_indices: Int[Tensor, "b"], generator: torch.Generator) -> Float[Tensor, "b w d"]:
        """One window per video frame, each from a version drawn at random."""
        version = torch.randint(len(self._bank), (len(frame_indices), 1), generator=generator)
        return self._bank[version, self.rows(frame_indices)].float()

    def clean(self, frame_indices: Int[Tensor, "b"]) -> Float[Tensor, "b w d"]:
        """Windows of the recording itself, normalised with its own statistics."""
        return self._clean[self.rows(frame_indices)]

    def silence(self, b: int, generator: torch.Generator) -> Float[Tensor, "b w d"]:
        """Windows of synthetic silence as it sounds in pauses of the versions."""
        version = torch.randint(len(self._bank), (b, 1), generator=generator)
        stretch = torch.randint(self._silence.shape[1], (b, 1), generator=generator)
        length = self._window.length
        start = torch.randint(self._silence.shape[2] - length + 1, (b, 1), generator=generator)
        return self._silence[version, stretch, start + torch.arange(length)]

    def frames_around(self, frame_indices: Int[Tensor, "b"]) -> Float[Tensor, "n d"]:
        """Feature frames of all versions in the windows of some video frames, each once, and the made-up pauses.

        Of more than :data:`ENOUGH_FRAMES` evenly spread ones are taken.
        """
        index = self.rows(frame_indices).unique()
        pauses = self._silence.flatten(0, 2)
        every = -(-(len(index) * len(self._bank) + len(pauses)) // ENOUGH_FRAMES)
        return torch.cat([self._bank[:, index[::every]].float().flatten(0, 1), pauses[::every]])

    def every_version(self, frame_indices: Int[Tensor, "b"]) -> Float[Tensor, "v b w d"]:
        """The windows of all versions; 5 kB each for log-mel, so for few frames at a time."""
        return self._bank[:, self.rows(frame_indices)].float()


def _padded(normalised: np.ndarray, silence: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([silence[None], normalised]).astype(np.float32))


def _random_part(n: int, shortest: int, generator: torch.Generator) -> slice:
    shortest = min(n, shortest)
    length = int(torch.randint(shortest, n + 1, (1,), generator=generator))
    start = int(torch.randint(0, n - length + 1, (1,), generator=generator))
    return slice(start, start + length)
