"""A long video is written in segments: a kill costs one of them, and the result tells nothing of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.media.probe import probe
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import read_audio
from gaussavatar.progress import QuietProgress
from gaussavatar.speak import offline, segments
from gaussavatar.speak.offline import speak
from gaussavatar.speak.wish import VideoWish

from .conftest import voice


class Told(QuietProgress):
    """Remembers what was said, and raises after so many frames."""

    def __init__(self, frames: int = 10**9) -> None:
        self.left = frames
        self.said: list[str] = []
        self.drawn = 0

    def stage(self, name: str, total: int):  # noqa: ANN201
        quiet, told = super().stage(name, total), self

        class Counting:
            def __enter__(self):  # noqa: ANN204
                advance = quiet.__enter__()

                def count(steps: int) -> None:
                    advance(steps)
                    told.drawn += steps
                    told.left -= steps
                    if told.left <= 0:
                        raise KeyboardInterrupt

                return count

            def __exit__(self, *exception: object) -> None:
                quiet.__exit__(*exception)

        return Counting()

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 0.6)


def moments(video: Path) -> np.ndarray:
    """When each frame is shown, seconds."""
    command = [find_ffmpeg(), "-hide_banner", "-i", str(video), "-map", "0:v", "-vf", "showinfo", "-f", "null", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return np.array([float(line.split("pts_time:")[1].split()[0]) for line in text.splitlines() if "pts_time:" in line])


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_segments_are_the_single_run(
    loaded: LoadedAvatar,
    dressed_wish: dict[str, VideoWish],
    sound: Path,
    pictures,
    monkeypatch,
    tmp_path: Path,
    suffix: str,  # noqa: ANN001, E501
) -> None:
    avatar, wish = dressed_wish[suffix]
    single = speak(sound, avatar, tmp_path / f"single{suffix}", QuietProgress(), wish)
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 0.6)
    joined = speak(sound, avatar, tmp_path / f"joined{suffix}", QuietProgress(), wish)
    one, other = probe(single), probe(joined)
    assert (one.width, one.height, one.fps, one.codec, one.has_audio) == (
        other.width, other.height, other.fps, other.codec, other.has_audio)  # fmt: skip
    assert other.seconds == pytest.approx(one.seconds, abs=0.01)
    assert len(pictures(single)) == len(pictures(joined)) == 50
    assert np.abs(pictures(single) - pictures(joined)).mean() < 1.5
    np.testing.assert_allclose(moments(joined), np.arange(50) / 25, atol=0.0015)
    assert np.array_equal(read_audio(single).samples, read_audio(joined).samples)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"joined{suffix}", f"single{suffix}"]


@pytest.fixture
def dressed_wish(loaded: LoadedAvatar, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[LoadedAvatar, VideoWish]]:
    """Wishes by the video's kind; the transparent kinds take a frame of the toy as if it were cut out."""

    def half_clear(drawn):  # noqa: ANN001, ANN202
        for layer in drawn:
            rgb = (layer.rgb.clamp(0, 1) * 255).byte().numpy()
            yield from np.concatenate([rgb, np.full((*rgb.shape[:3], 1), 255, np.uint8)], axis=-1)

    monkeypatch.setattr(offline, "transparent_frames", half_clear)
    monkeypatch.setattr(offline, "behind_head", lambda avatar, wish, *more: plain_behind(avatar, *more))
    return {
        ".mp4": (loaded, VideoWish()),
        ".mov": (loaded, VideoWish(background="none")),
        ".webm": (loaded, VideoWish(background="none")),
    }


def plain_behind(avatar: LoadedAvatar, folder: Path, torso: str, framing: object):  # noqa: ANN201
    from gaussavatar.avatar.background import Background
    from gaussavatar.avatar.behind import behind_head

    return behind_head(avatar, Background(filmed=True), folder)


def test_a_killed_run_goes_on(loaded: LoadedAvatar, sound: Path, pictures, short_segments, tmp_path: Path) -> None:  # noqa: ANN001
    whole = speak(sound, loaded, tmp_path / "whole.mp4", QuietProgress())
    out, parts = tmp_path / "a.mp4", tmp_path / "a.mp4.part"
    with pytest.raises(KeyboardInterrupt):
        speak(sound, loaded, out, Told(35))
    assert not out.exists() and sorted(path.name for path in parts.glob("0*")) == ["00000.mp4", "00001.mp4"]
    again = Told()
    speak(sound, loaded, out, again, save_motion=tmp_path / "m.safetensors")
    assert again.drawn == 20 and again.said == ["going on with segment 3 of 4", "joining 4 segments"]
    assert not parts.exists() and (tmp_path / "m.safetensors").exists()
    assert out.read_bytes() == whole.read_bytes()


def test_another_wish_discards_what_was_there(
    loaded: LoadedAvatar, sound: Path, short_segments, tmp_path: Path
) -> None:  # noqa: ANN001
    out = tmp_path / "a.mp4"
    with pytest.raises(KeyboardInterrupt):
        speak(sound, loaded, out, Told(35))
    again = Told()
    speak(sound, loaded, out, again, VideoWish(fps=30))
    assert again.drawn == 60 and "made anew" in again.said[0]


def test_a_kill_within_the_first_segment_leaves_nothing(
    loaded: LoadedAvatar,
    sound: Path,
    short_segments,
    tmp_path: Path,  # noqa: ANN001
) -> None:
    with pytest.raises(KeyboardInterrupt):
        speak(sound, loaded, tmp_path / "a.mp4", Told(5))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(
    loaded: LoadedAvatar, sound: Path, short_segments, tmp_path: Path
) -> None:  # noqa: ANN001
    parts = tmp_path / "a.mp4.part"
    parts.mkdir()
    (parts / "letter.txt").write_text("keep me")
    with pytest.raises(UserError, match="something else"):
        speak(sound, loaded, tmp_path / "a.mp4", QuietProgress())
    assert (parts / "letter.txt").read_text() == "keep me"


def test_sound_and_picture_stay_together_over_many_segments(
    loaded: LoadedAvatar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 0.3)
    soundfile.write(tmp_path / "a.wav", voice(12.37), 16_000)
    video = speak(tmp_path / "a.wav", loaded, tmp_path / "a.mp4", QuietProgress(), VideoWish(fps=29.97))
    shown = moments(video)
    np.testing.assert_allclose(shown, np.arange(len(shown)) / 29.97, atol=0.001)
    assert abs(len(shown) / 29.97 - 12.37) < 1.01 / 29.97 and probe(video).seconds == pytest.approx(12.37, abs=0.02)
