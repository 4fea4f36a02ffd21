"""Writing: an mp4 as long as its sound, with the picture that was given, whole or not at all."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.media.frames import read_frames
from gaussavatar.media.images import read_image, resize, write_image
from gaussavatar.media.picture_series import write_pngs
from gaussavatar.media.probe import probe
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import read_audio
from gaussavatar.media.writing import write_video


def gradient(n: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Smooth pictures whose brightness grows with time."""
    ramp = np.linspace(30, 160, width)[None, :, None] + np.zeros((height, 1, 3))
    return [np.clip(ramp + index, 0, 255).astype(np.uint8) for index in range(n)]


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("n_frames", [20, 34, 60])
def test_length_is_that_of_the_sound(tmp_path: Path, make_clip, rate: int, n_frames: int) -> None:
    sound = make_clip("tone.wav", None, f"sine=sample_rate={rate}:duration=1.37")
    out = tmp_path / "out.mp4"
    write_video(out, gradient(n_frames), 25, (64, 48), audio=sound)
    assert probe(out).seconds == pytest.approx(1.37, abs=0.04)
    assert abs(sum(1 for _ in read_frames(out, width=64, height=48)) - 1.37 * 25) <= 1
    assert read_audio(out).seconds == pytest.approx(1.37, abs=0.04)


def test_picture_survives(tmp_path: Path) -> None:
    frames = gradient(10)
    out = tmp_path / "out.mp4"
    write_video(out, frames, 25, (64, 48))
    back = list(read_frames(out, width=64, height=48))
    assert len(back) == 10
    errors = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, back, strict=True)]
    assert max(errors) < 2.0


def test_colours_survive(tmp_path: Path) -> None:
    colours = np.array([[200, 40, 40], [40, 180, 60], [50, 60, 210], [220, 180, 150]], np.uint8)
    image = np.repeat(np.repeat(colours[None], 64, 0), 16, 1)
    out = tmp_path / "colours.mp4"
    write_video(out, [image] * 5, 25, (64, 64))
    back = next(read_frames(out, width=64, height=64))
    for index, colour in enumerate(colours):
        assert np.abs(back[16:48, index * 16 + 6 : index * 16 + 10].mean((0, 1)) - colour).max() < 6


def test_odd_sizes_and_metadata(tmp_path: Path) -> None:
    out = tmp_path / "odd.mp4"
    write_video(out, gradient(5, 63, 47), 25, (63, 47), metadata={"comment": "synthetic: avatar", "title": "a=b; 'c'"})
    text = subprocess.run([find_ffmpeg(), "-i", out], capture_output=True, text=True, check=False).stderr
    assert re.search(r"comment *: synthetic: avatar", text) and re.search(r"title *: a=b; 'c'", text)
    with pytest.raises(ValueError, match="lost"):
        write_video(out, gradient(2), 25, (64, 48), metadata={"consent": "x"})


def test_failure_leaves_nothing_and_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")

    def frames():
        yield from gradient(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(out, frames(), 25, (64, 48))
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]
    with pytest.raises(ValueError, match="expected uint8"):
        write_video(out, gradient(1, 10, 10), 25, (64, 48))


def test_unwritable_places_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ending|ffmpeg error"):
        write_video(tmp_path / "out.nonsense", gradient(2), 25, (64, 48))
    with pytest.raises(UserError, match="no such file"):
        write_video(tmp_path / "out.mp4", gradient(2), 25, (64, 48), audio=tmp_path / "no.wav")


def test_images_round_trip(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png"), image)
    smooth = gradient(1)[0]
    write_image(tmp_path / "b.jpg", smooth)
    assert np.abs(read_image(tmp_path / "b.jpg").astype(int) - smooth).mean() < 3
    with pytest.raises(UserError, match="png or .jpg"):
        write_image(tmp_path / "c.txt", image)
    with pytest.raises(UserError, match="no such file"):
        read_image(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match="is not one"):
        read_image(tmp_path / "bad.png")


def test_resize_keeps_the_mean_when_it_shrinks() -> None:
    image = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1)
    assert np.abs(resize(image, 16).astype(int) - 127).max() <= 1
    assert resize(image, (100, 80)).shape == (80, 100, 3)


def test_a_shorter_series_of_pictures_leaves_none_of_a_longer_one(tmp_path: Path) -> None:
    frames = [np.full((4, 4, 3), level, np.uint8) for level in range(5)]
    for other in ("talk_1.png", "walk_000004.png", "talk_000004.txt"):
        (tmp_path / other).touch()
    assert write_pngs(tmp_path / "talk.png", frames) == 5
    assert write_pngs(tmp_path / "talk.png", frames[:2]) == 2
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["talk_000000.png", "talk_000001.png", "talk_000004.txt", "talk_1.png", "walk_000004.png"]
