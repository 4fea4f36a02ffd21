from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.cli.main import run
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.embedding import render_plain
from gaussavatar.head.model import pose_vertices
from gaussavatar.media.images import resize
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.writing import write_video


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


def head_frames(count: int, identity_seed: int, tint: tuple[float, float, float]) -> list[np.ndarray]:
    """Pictures of the built-in head that talks a little, 512 px."""
    head = builtin_head()
    generator = torch.Generator().manual_seed(identity_seed)
    identity = 0.12 * torch.randn(1, len(head.identity_names), generator=generator)
    frames = []
    for index in range(count):
        opening = 0.25 * (1 + np.sin(2 * np.pi * index / count))
        expression = torch.from_numpy(head.expression_row(jawOpen=float(opening)))[None]
        vertices = pose_vertices(head, identity, expression)[0].numpy()
        sway = 0.01 * np.sin(2 * np.pi * index / count)
        image, _, _ = render_plain(head, (vertices + np.array([sway, 0, 0.75])).astype(np.float32))
        frames.append((image * np.array(tint)).astype(np.uint8))
    return frames


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips of generated heads, each with one thing wrong; ``good.mp4`` has nothing wrong."""
    folder = tmp_path_factory.mktemp("people")
    first, second = head_frames(6, 1, (1, 1, 1)), head_frames(6, 5, (0.35, 0.45, 0.7))
    side = first[0].shape[0]
    sound = folder / "sound.wav"
    make_media(sound, "-f", "lavfi", "-i", "sine=frequency=200:duration=6")

    def write(name: str, frames: list[np.ndarray], size: tuple[int, int], seconds: float = 6.0) -> None:
        repeated = [frames[index % len(frames)] for index in range(round(seconds * 25))]
        write_video(folder / name, repeated, 25, size, audio=sound, seconds=seconds)

    write("good.mp4", first, (side, side))
    write("short.mp4", first, (side, side), seconds=3.0)
    write("two.mp4", [np.concatenate(pair, axis=1) for pair in zip(first, second, strict=True)], (2 * side, side))
    write("small.mp4", [resize(frame, side // 6) for frame in first], (side // 6, side // 6))
    write("cut.mp4", 12 * first + 13 * second, (side, side))
    return folder
