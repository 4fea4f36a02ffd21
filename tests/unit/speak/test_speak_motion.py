"""The motion stands between sound and video: it is saved, shown again, cut, and shown at any rate."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.media.probe import probe
from gaussavatar.media.sound_file import read_audio
from gaussavatar.motion.track import MotionTrack
from gaussavatar.progress import QuietProgress
from gaussavatar.speak.offline import speak
from gaussavatar.speak.wish import VideoWish

QUIET = QuietProgress()


def test_a_saved_motion_gives_the_same_video(loaded: LoadedAvatar, sound: Path, tmp_path: Path) -> None:
    first = speak(sound, loaded, tmp_path / "a.mp4", QUIET, save_motion=tmp_path / "m.safetensors")
    track = MotionTrack.load(tmp_path / "m.safetensors")
    again = speak(sound, loaded, tmp_path / "b.mp4", QUIET, motion=track)
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()


def test_an_edited_frame_changes_that_frame_alone(loaded: LoadedAvatar, sound: Path, pictures, tmp_path: Path) -> None:  # noqa: ANN001
    speak(sound, loaded, tmp_path / "a.mp4", QUIET, save_motion=tmp_path / "m.safetensors")
    track = MotionTrack.load(tmp_path / "m.safetensors")
    upper = track.upper.copy()
    upper[20:24, :2] = 3
    speak(None, loaded, tmp_path / "b.mp4", QUIET, motion=replace(track, upper=upper))
    changed = (np.abs(pictures(tmp_path / "a.mp4") - pictures(tmp_path / "b.mp4")) > 24).sum(axis=(1, 2, 3))
    assert (changed[20:24] > 30).all() and changed[:19].max() == 0 and changed[26:].max() == 0


def test_a_motion_alone_gives_a_video_without_sound(loaded: LoadedAvatar, tmp_path: Path) -> None:
    video = speak(None, loaded, tmp_path / "m.mp4", QUIET, motion=loaded.filmed)
    info = probe(video)
    assert not info.has_audio and info.seconds == pytest.approx(len(loaded.filmed) / 25)


def test_a_stretch_is_that_stretch_of_the_whole(loaded: LoadedAvatar, sound: Path, pictures, tmp_path: Path) -> None:  # noqa: ANN001
    speak(sound, loaded, tmp_path / "a.mp4", QUIET, save_motion=tmp_path / "whole.safetensors")
    part = speak(sound, loaded, tmp_path / "b.mp4", QUIET, VideoWish(start=0.81, stop=1.6),
                 save_motion=tmp_path / "part.safetensors")  # fmt: skip
    whole, cut = (MotionTrack.load(tmp_path / name) for name in ("whole.safetensors", "part.safetensors"))
    assert np.array_equal(cut.mouth_codes, whole.mouth_codes[20:40]) and np.array_equal(cut.places, whole.places[20:40])
    assert np.abs(pictures(part)[:20] - pictures(tmp_path / "a.mp4")[20:40]).mean() < 2
    heard, all_heard = read_audio(part).samples, read_audio(sound).samples
    lags = [
        np.corrcoef(heard[2000:10000], all_heard[start + 2000 : start + 10000])[0, 1] for start in range(12700, 12901)
    ]
    assert abs(int(np.argmax(lags)) + 12700 - 0.8 * 16_000) <= 2, "the sound begins with the frame"
    assert probe(part).seconds == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("fps", [50.0, 60.0, 29.97, 12.0])
def test_any_frame_rate_is_as_long(loaded: LoadedAvatar, sound: Path, pictures, tmp_path: Path, fps: float) -> None:  # noqa: ANN001
    video = speak(sound, loaded, tmp_path / "a.mp4", QUIET, VideoWish(fps=fps))
    info = probe(video)
    assert info.fps == pytest.approx(fps, abs=0.01) and info.seconds == pytest.approx(2.0, abs=0.6 / fps)
    assert abs(len(pictures(video)) - 2 * fps) <= 1


def test_a_motion_keeps_its_own_rate(loaded: LoadedAvatar, tmp_path: Path) -> None:
    video = speak(None, loaded, tmp_path / "a.mp4", QUIET, motion=replace(loaded.filmed, fps=50.0))
    assert probe(video).fps == 50 and probe(video).seconds == pytest.approx(0.6, abs=0.01)


def other_avatar(track: MotionTrack) -> MotionTrack:
    return replace(track, avatar="0123456789abcdef")


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (VideoWish(start=3), "within the 2.00 s"),
        (VideoWish(start=2, stop=1), "begins before it ends"),
        (VideoWish(start=-1), "begins before it ends"),
        (VideoWish(start=float("nan")), "begins before it ends"),
        (VideoWish(fps=0), "1 to 240 frames"),
        (VideoWish(fps=float("nan")), "1 to 240 frames"),
        (VideoWish(size=3), "16 to 4096"),
        (VideoWish(crop="5,5"), "four whole numbers"),
        (VideoWish(crop="50,50,60,40"), "lies within"),
        (VideoWish(crop="0,0,4,4"), "16 x 16"),
        (VideoWish(background="none"), ".mov or .webm"),
    ],
)
def test_wishes_that_cannot_be_met(
    loaded: LoadedAvatar, sound: Path, tmp_path: Path, wish: VideoWish, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        speak(sound, loaded, tmp_path / "a.mp4", QUIET, wish)
    assert list(tmp_path.iterdir()) == []


def test_output_over_input_is_refused(loaded: LoadedAvatar, sound: Path, tmp_path: Path) -> None:
    own = tmp_path / "a.wav"
    own.write_bytes(sound.read_bytes())
    with pytest.raises(UserError, match="than one that is read"):
        speak(own, loaded, own, QUIET)
    with pytest.raises(UserError, match=r"\.csv or \.safetensors"):
        speak(own, loaded, tmp_path / "a.mp4", QUIET, save_motion=tmp_path / "m.txt")
    loaded.filmed.save(tmp_path / "m.csv")
    with pytest.raises(UserError, match="than one that is read"):
        speak(None, loaded, tmp_path / "a.mp4", QUIET, motion=tmp_path / "m.csv", save_motion=tmp_path / "m.csv")
    assert own.read_bytes() == sound.read_bytes()
    with pytest.raises(UserError, match="no part of the avatar"):
        speak(sound, loaded, loaded.path / "under.mp4", QUIET)


def test_neither_sound_nor_motion(loaded: LoadedAvatar, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--motion"):
        speak(None, loaded, tmp_path / "a.mp4", QUIET)


@pytest.mark.parametrize("samples", [640, 700, 16_000 // 25 * 3 + 1])
def test_the_shortest_sounds(loaded: LoadedAvatar, tmp_path: Path, samples: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(samples, 0.1, np.float32), 16_000)
    assert probe(speak(tmp_path / "a.wav", loaded, tmp_path / "a.mp4", QUIET)).has_video
