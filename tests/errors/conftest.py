from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gaussavatar.cli.main import run
from gaussavatar.media.ffmpeg import find_ffmpeg


def make_media(path: Path, *arguments: str) -> Path:
    """Let ffmpeg make a media file."""
    subprocess.run([find_ffmpeg(), "-v", "error", "-y", *arguments, str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that ffmpeg can and cannot read; nobody's face is in them."""
    folder = tmp_path_factory.mktemp("media")
    picture = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=7")
    sound = ("-f", "lavfi", "-i", "sine=frequency=300:duration=7")
    make_media(folder / "faceless.mp4", *picture, *sound, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-shortest")
    make_media(folder / "silent.mp4", *picture, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    make_media(folder / "tone.wav", *sound)
    whole = (folder / "faceless.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    make_media(folder / "fast.mp4", "-i", str(folder / "faceless.mp4"), "-c", "copy", "-movflags", "+faststart")
    fast = (folder / "fast.mp4").read_bytes()
    (folder / "cut_off.mp4").write_bytes(fast[: len(fast) // 2])
    (folder / "letter.mp4").write_text("Dear Sir or Madam, this is not a video.\n" * 50)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "noise.wav").write_bytes(bytes(range(256)) * 40)
    make_media(folder / "no_samples.wav", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "0")
    return folder


@pytest.fixture
def message(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run a command in an empty folder and return the one line that it must end with."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> str:
        code = run([str(word) for word in words])
        captured = capfd.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        assert code == 2, captured.err
        assert len(lines) == 1 and captured.err.rstrip().endswith(lines[0]), captured.err
        assert "Traceback" not in captured.err
        assert lines[0].startswith("error: expected ") and ", got " in lines[0] and "; " in lines[0]
        return lines[0]

    return command
