from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features.mel import FACTS
from gaussavatar.audio.features.mel_bands import N_MELS, log_mel
from gaussavatar.audio.windows import Window, windows, windows_in_turn
from gaussavatar.types import ANALYSIS_RATE, Waveform


def test_an_impulse_in_the_middle_of_a_frame_shows_up_centred() -> None:
    for frame in (0, 7, 24):
        samples = np.zeros(ANALYSIS_RATE, np.float32)
        samples[int((frame + 0.5) * 640)] = 1.0
        seen = windows(log_mel(Waveform(samples, ANALYSIS_RATE)), 25, FACTS.window)
        assert seen.shape == (25, FACTS.window.length, N_MELS)
        assert seen[frame].sum(1).argmax() == FACTS.window.radius
        if frame + 1 < 25:
            assert seen[frame + 1].sum(1).argmax() == FACTS.window.radius - 4
        shifted = windows(log_mel(Waveform(samples, ANALYSIS_RATE)), 25, FACTS.window, offset_frames=-1)
        if frame + 1 < 25:
            assert shifted[frame + 1].sum(1).argmax() == FACTS.window.radius


def test_windows_are_filled_outside_the_sound() -> None:
    mel = np.ones((20, N_MELS), np.float32)
    fill = np.full(N_MELS, -2.0, np.float32)
    seen = windows(mel, 10, FACTS.window, fill=fill)
    assert (seen[0, :14] == -2.0).all() and (seen[0, 14:] == 1.0).all()
    assert (seen[9] == -2.0).all()
    nothing = np.zeros((0, N_MELS), np.float32)
    assert (windows(nothing, 2, FACTS.window, fill=fill) == np.broadcast_to(fill, (2, 33, N_MELS))).all()
    with pytest.raises(ValueError, match="fill"):
        windows(nothing, 2, FACTS.window)


def test_a_slower_feature_is_seen_over_the_same_time() -> None:
    slow = Window(rate=50, radius=8)
    raw = np.arange(100, dtype=np.float32)[:, None]
    seen = windows(raw, 50, slow)
    assert (slow.length, slow.reach_ms) == (17, 160.0)
    # The middle of frame 10 lies at 0.42 s, which is feature frame 21.
    assert seen[10, :, 0].tolist() == list(range(13, 30))
    assert slow.centres(np.array([10]), fps=50).tolist() == [10]


def test_windows_in_turn_are_the_windows() -> None:
    rng = np.random.default_rng(0)
    raw, fill = rng.standard_normal((230, 5)).astype(np.float32), np.full(5, -9, np.float32)
    whole = windows(raw * 2 + 1, 70, Window(100, 16), fill=fill)
    for size in (1, 7, 512):
        parts = list(windows_in_turn(raw, 70, Window(100, 16), size, lambda part: part * 2 + 1, fill))
        assert np.array_equal(np.concatenate(parts), whole)
    assert list(windows_in_turn(raw, 0, Window(100, 16), 8, lambda part: part, fill)) == []
    beyond = np.concatenate(list(windows_in_turn(raw[:3], 70, Window(100, 16), 8, lambda part: part, fill)))
    assert (beyond[20:] == -9).all()
