"""What a user reads when the video or the sound cannot be used: through the whole command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.errors.conftest import make_media


@pytest.mark.parametrize("verb", ["fit", "track"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.mp4", ["absent.mp4", "no such file"]),
        ("letter.mp4", ["letter.mp4", "cannot read", "another file"]),
        ("empty.wav", ["empty file"]),
        ("truncated.mp4", ["cut-off", "export the file again"]),
        ("cut_off.mp4", ["cut_off.mp4", "export the file again"]),
        ("tone.wav", ["expected a video", "sound file"]),
        ("faceless.mp4", ["face"]),
    ],
)
def test_unusable_video(message, media: Path, verb: str, name: str, words: list[str]) -> None:
    line = message(verb, media / name)
    for word in words:
        assert word in line


def test_fit_needs_sound(message, media: Path) -> None:
    line = message("fit", media / "silent.mp4")
    assert "sound track" in line or "audio" in line


def test_a_folder_is_not_a_video(message, media: Path) -> None:
    assert "a folder" in message("fit", media)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("absent.wav", "no such file"),
        ("empty.wav", "empty file"),
        ("noise.wav", "cannot read"),
        ("no_samples.wav", "audio"),
        ("silent.mp4", "without audio"),
    ],
)
def test_unusable_sound(message, media: Path, toy_avatar: Path, name: str, word: str) -> None:
    line = message("speak", "--audio", media / name, "--avatar", toy_avatar)
    assert word in line


def test_a_fit_to_silence_is_refused_before_the_video_is_looked_at(message, media: Path, tmp_path: Path) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=7")
    nothing = ("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo", "-shortest", "-pix_fmt", "yuv420p")
    clip = make_media(tmp_path / "muted.mp4", *picture, *nothing)
    assert "speech in the sound of muted.mp4, got silence" in message("fit", clip, "--out", tmp_path / "out")
    assert "got a video without one" in message("fit", media / "silent.mp4", "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "capture").exists()


def test_wishes_that_cannot_be_met_are_refused_before_anything_is_done(message, media: Path, tmp_path: Path) -> None:
    clip, out = media / "silent.mp4", tmp_path / "out"
    assert "nobody" in message("track", clip, "--out", out, "--head", "nobody")
    assert "no such file" in message("track", clip, "--out", out, "--seg-model", tmp_path / "none.onnx")
    assert "face_landmarker.task" in message("track", clip, "--out", out, "--blendshapes", tmp_path / "none.task")
    assert "2000 ms" in message("track", clip, "--out", out, "--av-offset", "90000")
    assert "focal" in message("track", clip, "--out", out, "--focal", "-3")
    assert not (out / "capture").exists()
