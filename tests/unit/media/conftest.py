"""Small clips made on the spot with ffmpeg's own sources."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gaussavatar.media.process import find_ffmpeg

MakeClip = Callable[..., Path]


def run_ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg and fail the test with its message if it fails."""
    command = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Make a clip: ``picture`` and ``sound`` are lavfi sources, ``options`` go to the encoder."""

    def make(name: str, picture: str | None = None, sound: str | None = None, *options: str) -> Path:
        inputs = [part for source in (picture, sound) if source for part in ("-f", "lavfi", "-i", source)]
        run_ffmpeg(*inputs, *options, tmp_path / name)
        return tmp_path / name

    return make
