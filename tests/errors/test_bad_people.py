"""What a user reads when the clip shows the wrong people: through the whole command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaussavatar.capture.video import CaptureConfig, capture_video
from gaussavatar.progress import QuietProgress


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short.mp4", ["5 s", "3.0 s"]),
        ("two.mp4", ["expected one face", "two of like size", "one person"]),
        ("small.mp4", ["100 pixels", "film closer"]),
        ("cut.mp4", ["one person", "a cut to another at about 3."]),
    ],
)
def test_clip_of_the_wrong_people(message, people: Path, name: str, words: list[str]) -> None:
    # With one step a clip that is accepted by mistake fails this test soon instead of being trained for minutes.
    line = message("fit", people / name, "--recipe", "preview", "--set", "training.stages=[{name: a, iterations: 1}]")
    for word in words:
        assert word in line


def test_the_clip_with_nothing_wrong_is_captured(people: Path, tmp_path: Path) -> None:
    capture = capture_video(people / "good.mp4", tmp_path, CaptureConfig(), QuietProgress())
    assert capture.n_frames == 150 and capture.audio is not None
