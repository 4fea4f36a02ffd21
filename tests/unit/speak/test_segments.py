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
from gaussavatar.motion.track import MotionTrack
from gaussavatar.progress import QuietProgress
from gaussavatar.speak import offline, segments
from gaussavatar.speak.offline import speak
from gaussavatar.speak.segments import Share
from gaussavatar.speak.wish import VideoWish
from gaussavatar.storage import atomic_path
from gaussavatar.types import Waveform

from .conftest import voice


class Told(QuietProgress):
    """Remembers what was said, and raises after so many frames."""

    def __init__(self, frames: int = 10**9) -> None:
        self.left = frames
        self.said: list[str] = []
        self.drawn = 0

    def stage(self, name: str, total: int, done: int = 0):  # noqa: ANN201
        quiet, told = super().stage(name, total, done), self

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
    assert 14 <= again.drawn <= 26 and again.said == ["going on with segment 3 of 4", "joining 4 segments"]
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


def frames_in_pauses(seconds: float, pauses: list[float]) -> tuple[MotionTrack, Waveform]:
    """A motion of a steady hum with a pause of .8 seconds at each of the given moments."""
    hum = np.sin(2 * np.pi * 200 * np.arange(round(seconds * 16_000)) / 16_000).astype(np.float32)
    for moment in pauses:
        hum[round((moment - 0.4) * 16_000) : round((moment + 0.4) * 16_000)] = 0
    count = round(25 * seconds)
    poses = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    codes = np.zeros((count, 4), np.float32)
    return MotionTrack(codes, codes[:, :1], poses, np.zeros(count, np.int64)), Waveform(hum, 16_000)


def test_segments_end_in_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 10)
    track, heard = frames_in_pauses(34.0, [9.0, 14.0, 21.5, 29.8, 30.9])
    ends = segments.ends_of_segments(track, heard)
    # 14 is too far from any end; of two pauses the nearer one is taken.
    np.testing.assert_allclose(np.array(ends) / 25, [9.0, 21.5, 29.8, 34.0], atol=0.3)
    later = segments.ends_of_segments(track.frames(100, len(track)), heard, start=4.0)
    np.testing.assert_allclose(np.array(later[:1]) / 25 + 4, [14.0], atol=0.3)
    assert segments.ends_of_segments(track, None) == [250, 500, 750, 850]
    short, quiet = frames_in_pauses(10.04, [10.0])
    assert segments.ends_of_segments(short, quiet)[-1] == len(short)


def test_shares_of_several_runs_are_the_single_run(
    loaded: LoadedAvatar,
    sound: Path,
    pictures,
    short_segments,
    tmp_path: Path,  # noqa: ANN001
) -> None:
    whole = speak(sound, loaded, tmp_path / "whole.mp4", QuietProgress())
    out, drawn = tmp_path / "talk.mp4", []
    for text in ("hear", "1/3", "2/3", "3/3", "3/3"):
        told = Told()
        folder = speak(sound, loaded, out, told, share=Share.read(text))
        assert folder == tmp_path / "talk.mp4.part" and not out.exists()
        drawn.append(told.drawn)
    # Four segments for three: the first has two of them, and what is there is not drawn again.
    assert drawn[0] == drawn[4] == 0 and sum(drawn) == 50 and all(drawn[1:4])
    joining = Told()
    speak(sound, loaded, out, joining, save_motion=tmp_path / "m.csv")
    assert joining.drawn == 0 and out.read_bytes() == whole.read_bytes() and not folder.exists()
    assert (tmp_path / "m.csv").exists()


def test_what_other_runs_are_writing_stays(loaded: LoadedAvatar, sound: Path, short_segments, tmp_path: Path) -> None:  # noqa: ANN001
    out = tmp_path / "talk.mp4"
    folder = speak(sound, loaded, out, QuietProgress(), share=Share(0))
    with atomic_path(folder / "00003.mp4") as half:
        half.write_bytes(b"under way")
        speak(sound, loaded, out, QuietProgress(), share=Share(1, 2))
        assert half.exists()
        half.write_bytes(half.read_bytes())


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_share_that_is_none(text: str) -> None:
    with pytest.raises(UserError, match="K/N"):
        Share.read(text)


def test_a_share_of_pictures_is_refused(loaded: LoadedAvatar, sound: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--part"):
        speak(sound, loaded, tmp_path / "a.gif", QuietProgress(), share=Share(0))
