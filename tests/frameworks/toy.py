"""Sound for the tests of the frameworks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar, load_avatar

RATE = 24_000


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
