from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.media.frames import read_frames


def voice(seconds: float, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """Bursts of a buzz whose loudness and pitch wander: something to move lips by."""
    time = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    pitch = 120 + 40 * np.sin(2 * np.pi * 0.4 * time + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    return (0.25 * buzz * np.clip(np.sin(2 * np.pi * 2.3 * time) + 0.4, 0, 1)).astype(np.float32)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of something like a voice."""
    path = tmp_path_factory.mktemp("sound") / "said.wav"
    soundfile.write(path, voice(2.0), 16_000)
    return path


@pytest.fixture(scope="session")
def loaded(toy_avatar: Path) -> LoadedAvatar:
    return load_avatar(toy_avatar)


@pytest.fixture(scope="session")
def pictures() -> Callable[..., np.ndarray]:
    """Reads all frames of a video of 96 pixels."""

    def read(video: Path, width: int = 96, height: int = 96) -> np.ndarray:
        return np.stack(list(read_frames(video, width=width, height=height, fps=None))).astype(int)

    return read
