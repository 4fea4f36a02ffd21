"""How near live lips are to a file's, over several sounds."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.bench.live import RATE, syllables
from gaussavatar.bench.opening import bench_opening, mean_and_worst
from gaussavatar.errors import UserError


def written(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(syllables(seconds).tobytes())
    return path


def test_every_sound_is_said_and_the_voice_that_the_avatar_keeps_is_recognised(
    toy_avatar: Path, tmp_path: Path
) -> None:
    sound, lines = written(tmp_path / "one.wav", 4.5), []
    strange = bench_opening(toy_avatar, [sound], "best", done=lines.append)
    assert list(strange["pieces"]) == ["one"]
    assert len(lines) == 1
    own = bench_opening(toy_avatar, [sound], "best", own=sound)
    assert own["first second"]["mean"] > strange["first second"]["mean"]
    assert own["after 3 s"]["mean"] > 0.98


def test_sounds_that_cannot_be_measured_are_refused(toy_avatar: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 seconds or more"):
        bench_opening(toy_avatar, [written(tmp_path / "short.wav", 1.0)], "best")
    with pytest.raises(UserError, match="sounds to say"):
        bench_opening(toy_avatar, [], "best")


def test_the_worst_quarter_is_a_mean_of_its_own() -> None:
    told = mean_and_worst(np.array([0.9, 0.5, 1.0, 0.7, np.nan, 0.8, 0.6, 0.95, 0.99]))
    assert told["mean"] == pytest.approx(0.805)
    assert told["worst quarter"] == pytest.approx(0.55)
