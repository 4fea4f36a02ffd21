from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussavatar.media.sound import as_waveform

from .arrays import read_floats, write_arrays

SECONDS = 1.5


def resampled(script: Callable[..., list[Any]], folder: Path, samples: np.ndarray, rate: int) -> np.ndarray:
    sound = write_arrays(folder / "sound", {"samples": samples.astype(np.float32)})
    (line,) = script("resample.mjs", sound, str(rate), folder / "out", str(rate // 7 + 3))
    assert line["same"], "pieces change what comes out"
    return read_floats(folder / "out", 1)[:, 0]


def chirp(rate: int, top: float) -> np.ndarray:
    """A tone from 50 Hz up, with soft ends, in which every frequency is heard for as long."""
    t = np.arange(int(SECONDS * rate)) / rate
    fade = np.clip(np.minimum(t, SECONDS - t) / 0.05, 0, 1)
    return 0.8 * fade * np.sin(2 * np.pi * (50 * t + (top - 50) * t**2 / (2 * SECONDS)))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 24000, 44100, 48000, 96000, 15999])
def test_a_tone_that_climbs_is_what_it_was(script: Callable, tmp_path: Path, rate: int) -> None:
    top = 0.88 * min(8000, rate / 2)
    told, true = resampled(script, tmp_path, chirp(rate, top), rate), chirp(16000, top)
    assert abs(len(told) - len(true)) <= 1
    n = min(len(told), len(true))
    error = told[:n] - true[:n]
    assert 10 * np.log10(np.mean(true**2) / np.mean(error**2)) > 55
    program = as_waveform((chirp(rate, top).astype(np.float32), rate)).samples
    assert len(told) == len(program)
    # What the two differ by is the program's own short filter, which begins to fall earlier.
    assert np.sqrt(np.mean((told - program) ** 2)) < 0.03


@pytest.mark.parametrize("rate", [44100, 48000])
def test_what_is_too_high_is_left_out_and_does_not_come_back_as_another_tone(
    script: Callable, tmp_path: Path, rate: int
) -> None:
    t = np.arange(int(0.5 * rate)) / rate
    for tone in (9000, 12000, 20000):
        told = resampled(script, tmp_path, 0.8 * np.sin(2 * np.pi * tone * t), rate)
        assert np.abs(told[800:-800]).max() < 1e-3
    level = resampled(script, tmp_path, np.full(len(t), 0.5), rate)
    np.testing.assert_allclose(level[400:-400], 0.5, atol=1e-4)


def test_sound_of_16_khz_stays_as_it_is(script: Callable, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    np.testing.assert_array_equal(resampled(script, tmp_path, samples, 16000), samples)


def test_a_rate_that_is_none_is_refused(script: Callable, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="cannot be heard"):
        resampled(script, tmp_path, np.zeros(10), 12)
