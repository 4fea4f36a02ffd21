"""What the tests of the frameworks share: an avatar, sound, and the examples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar, load_avatar

RATE = 24_000
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def avatar_here() -> Avatar:
    """The avatar that ``GAUSSAVATAR_TEST_AVATAR`` names: these environments cannot fit one."""
    folder = os.environ.get("GAUSSAVATAR_TEST_AVATAR")
    if not folder:
        pytest.skip("GAUSSAVATAR_TEST_AVATAR names no avatar's folder")
    return load_avatar(Path(folder))


def babble(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise in syllables, int16 (n,)."""
    time = np.arange(round(seconds * rate)) / rate
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 3.3 * time)
    noise = np.random.default_rng(seed).normal(size=len(time)).clip(-3, 3)
    return (8000 * loud * noise).astype(np.int16)


def example(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run an example without anything that the surroundings say of rooms and keys."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LIVEKIT_")}
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=kept, timeout=1800)
