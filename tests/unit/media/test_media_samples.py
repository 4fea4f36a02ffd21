"""A long sound is kept in a file; the samples are the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.errors import UserError
from gaussavatar.media import samples
from gaussavatar.media.sound_file import read_audio


def dribble(data: bytes) -> Callable[[int], bytes]:
    """A pipe that gives an odd number of bytes at a time."""
    pipe = io.BytesIO(data)
    return lambda size: pipe.read(min(size, 1023))


def test_samples_in_a_file_are_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = np.random.default_rng(0).uniform(-1.2, 1.2, 5000).astype(np.float32)
    near = samples.read_samples(dribble(wanted.tobytes() + b"xy"))
    monkeypatch.setattr(samples, "IN_MEMORY", 700)
    far = samples.read_samples(dribble(wanted.tobytes()))
    assert isinstance(far, np.memmap) and not isinstance(near, np.memmap)
    for came in (near, far):
        assert np.array_equal(came, np.clip(wanted, -1, 1))
    samples.forget_read(far)
    assert far[4999] == near[4999]
    assert len(samples.read_samples(dribble(b""))) == 0


def test_a_sound_with_nan_is_named(tmp_path: Path) -> None:
    values = np.zeros(16_000, np.float32)
    values[9_000] = np.nan
    soundfile.write(tmp_path / "a.wav", values, 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match="NaN"):
        read_audio(tmp_path / "a.wav")
