"""The avatar as a program uses it: motion for any sound, pictures of any motion, from any side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import gaussavatar
from gaussavatar.avatar.avatar import Avatar, load_avatar
from gaussavatar.errors import UserError
from gaussavatar.media.frames import read_frames
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.progress import QuietProgress
from gaussavatar.speak.offline import speak
from gaussavatar.types import Waveform


def tone(seconds: float = 1.0, rate: int = 16_000) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * 300 * time) * (np.sin(20 * time) > 0)).astype(np.float32)


@pytest.fixture(scope="module")
def avatar(toy_avatar: Path) -> Avatar:
    return load_avatar(toy_avatar)


def test_a_file_and_its_samples_give_the_same_motion(avatar: Avatar, tmp_path: Path) -> None:
    samples = tone()
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    by_file = avatar.motion_for(tmp_path / "a.wav")
    by_array = avatar.motion_for((samples, 16_000))
    by_record = avatar.motion_for(Waveform(samples, 16_000))
    assert len(by_file) == 25
    for other in (by_array, by_record, avatar.motion_for(str(tmp_path / "a.wav"))):
        assert np.allclose(other.mouth_codes, by_file.mouth_codes, atol=1e-4)
        assert np.array_equal(other.T_camera_world, by_file.T_camera_world)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_samples_of_any_rate_and_stereo_integers_say_the_same(avatar: Avatar, rate: int) -> None:
    wanted = avatar.motion_for((tone(), 16_000)).mouth_codes
    both = np.repeat((tone(rate=rate) * 32767).astype(np.int16)[:, None], 2, axis=1)
    came = avatar.motion_for((both, rate)).mouth_codes
    spread = wanted.std(axis=0).max()
    assert came.shape == wanted.shape and np.abs(came - wanted).mean() < 0.35 * spread


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        ((np.zeros(0, np.float32), 16_000), "shape"),
        ((np.zeros((4, 4, 4), np.float32), 16_000), "shape"),
        ((np.full(16_000, np.nan, np.float32), 16_000), "NaN"),
        ((np.zeros(16_000, np.int32), 16_000), "int32"),
        ((np.zeros(16_000, np.float32), 10), "10 samples"),
        ("nothing.wav", "no such file"),
    ],
)
def test_what_is_no_sound_is_said(avatar: Avatar, sound, said: str) -> None:  # noqa: ANN001
    with pytest.raises(UserError, match=said):
        avatar.motion_for(sound)


def test_spoken_pictures_are_those_of_the_video(avatar: Avatar, toy_avatar: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), 16_000)
    video = speak(tmp_path / "a.wav", toy_avatar, tmp_path / "a.mp4", QuietProgress())
    pictures = list(avatar.speak(tmp_path / "a.wav"))
    filmed = list(read_frames(video, width=96, height=96, fps=None))
    assert len(pictures) == len(filmed) == 25 and pictures[0].dtype == np.uint8
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, filmed, strict=True)) < 3


def test_the_camera_that_filmed_sees_the_head_where_it_was_filmed(avatar: Avatar) -> None:
    filmed = avatar.picture(background="#00ff00" if avatar.record.has("matte.mp4") else "plate")
    again = avatar.picture(camera=avatar.camera(), background="#00ff00")
    head = again[..., 1].astype(int) - again[..., 0] < 60
    assert np.abs(filmed[head].astype(int) - again[head]).mean() < 6


def test_cameras_keep_the_head_in_the_middle_and_come_nearer(avatar: Avatar) -> None:
    def seen(**view: float) -> tuple[float, float, int]:
        picture = avatar.picture(camera=avatar.camera(size=128, **view), background="#00ff00").astype(int)
        rows, columns = np.nonzero(picture[..., 1] - picture[..., 0] < 60)
        return columns.mean(), rows.mean(), len(rows)

    x, y, area = seen()
    assert seen(zoom=1.2)[2] == pytest.approx(1.44 * area, rel=0.12)
    for view in ({"yaw": 25}, {"yaw": -25}, {"pitch": 20}):
        assert np.hypot(seen(**view)[0] - x, seen(**view)[1] - y) < 6
        assert not np.array_equal(avatar.picture(camera=avatar.camera(**view)), avatar.picture(camera=avatar.camera()))


def test_a_picture_without_background_is_transparent_around_the_head(avatar: Avatar) -> None:
    picture = avatar.picture(camera=avatar.camera(yaw=10), background="none")
    assert picture.shape == (96, 96, 4) and picture[0, 0, 3] == 0 and picture[48, 48, 3] > 240


def test_the_mouth_follows_codes_of_ones_own(avatar: Avatar) -> None:
    opening = np.array([0, 0.5, 1.0])
    track = avatar.motion_of_codes(avatar.codes_of_opening(opening))
    along = (track.mouth_codes - avatar.rest.mouth_codes) @ avatar.loaded.mouth_open_direction
    assert along[0] == 0 and along[2] == pytest.approx(2 * along[1]) and along[1] > 0
    pictures = list(avatar.frames(track, camera=avatar.camera()))
    assert np.abs(pictures[2].astype(int) - pictures[0]).max() > 10


def test_an_edited_track_is_what_is_drawn(avatar: Avatar) -> None:
    track = avatar.motion_for((tone(0.4), 16_000))
    upper = track.upper.copy()
    upper[:, avatar.upper_names.index("blink_left")] = 1.0
    edited = MotionTrack.joined([track.frames(0, 5), replace(track, upper=upper).frames(5, 10)])
    before, after = (list(avatar.frames(each)) for each in (track, edited))
    assert all(np.array_equal(a, b) for a, b in zip(before[:5], after[:5], strict=True))
    assert not np.array_equal(before[5], after[5])


def wrong_tracks(avatar: Avatar) -> dict[str, MotionTrack]:
    own = avatar.filmed.frames(0, 2)
    return {
        "9 and 3": MotionTrack(np.zeros((2, 9), np.float32), own.upper, own.T_camera_world, own.places),
        "another avatar": replace(own, avatar="0123456789abcdef"),
        "places": replace(own, places=own.places + 10_000),
        "places of 0": replace(own, places=own.places - 1),
        "finite numbers": replace(own, upper=np.full_like(own.upper, np.nan)),
    }


@pytest.mark.parametrize("said", ["9 and 3", "another avatar", "places", "places of 0", "finite numbers"])
def test_a_track_that_the_avatar_cannot_follow_is_refused_at_once(avatar: Avatar, said: str, tmp_path: Path) -> None:
    track = wrong_tracks(avatar)[said]
    with pytest.raises(UserError, match=said):
        avatar.frames(track)
    soundfile.write(tmp_path / "a.wav", tone(0.08), 16_000)
    with pytest.raises(UserError, match=said):
        speak(tmp_path / "a.wav", avatar.loaded, tmp_path / "a.mp4", QuietProgress(), motion=track)
    assert not (tmp_path / "a.mp4").exists()


def test_an_avatars_own_tracks_carry_its_name(avatar: Avatar) -> None:
    assert len(avatar.record.identity) == 16
    assert avatar.motion_for((tone(0.2), 16_000)).avatar == avatar.filmed.avatar == avatar.record.identity


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda a: a.motion_of_codes(np.zeros((3, 2))), r"shape \(frames, 4\)"),
        (lambda a: a.motion_of_codes("hello"), "mouth codes as an array"),
        (lambda a: a.motion_of_codes(np.full((3, 4), np.nan)), "finite mouth codes"),
        (lambda a: a.codes_of_opening(0.5), r"shape \(frames,\)"),
        (lambda a: a.codes_of_opening([np.nan]), "finite openings"),
        (lambda a: a.camera(yaw=400), "yaw within"),
        (lambda a: a.camera(size=64.0), "yaw within"),
        (lambda a: a.frames(a.filmed.frames(0, 0)), "none"),
        (lambda a: a.frames(a.filmed, camera="front"), "a Camera"),
        (lambda a: a.frames(a.filmed, camera=replace(a.camera(), width=0)), "1 to 8192 pixels"),
        (lambda a: a.frames(a.filmed, camera=replace(a.camera(), K=np.zeros((3, 3)))), "focal lengths"),
        (lambda a: a.frames(a.filmed, camera=replace(a.camera(), T_camera_world=np.eye(4)[:3])), "finite matrices"),
        (lambda a: a.frames(a.filmed, camera=replace(a.camera(), K=np.full((3, 3), np.nan))), "finite matrices"),
        (lambda a: a.frames(a.filmed, torso="x"), "real or gaussians"),
        (lambda a: a.frames(a.filmed, torso="gaussians", camera=a.camera()), "torso branch"),
        (lambda a: a.frames(a.filmed, background=None), "as background"),
        (lambda a: a.frames(a.filmed, background=(0, 255, 0)), "as background"),
        (lambda a: a.frames(a.filmed, expression=["jawOpen"]), "movements by name"),
        (lambda a: a.frames(a.filmed, expression={"wings": 1.0}), "wings"),
        (lambda a: a.motion_for(np.zeros(16_000, np.float32)), "a path, a Waveform"),
        (lambda a: a.motion_for((np.zeros((2, 16_000), np.float32), 16_000)), "samples.T"),
        (lambda a: a.motion_for((np.zeros(16_000, np.float32), "16k")), "whole number"),
        (lambda a: gaussavatar.save_picture("p.png", np.zeros((4, 4, 3), np.float32)), "uint8"),
        (lambda a: gaussavatar.save_video(a, (np.zeros(9), 16_000), "v.mp4"), "path of a sound file"),
        (lambda a: gaussavatar.load_avatar(__file__), "a file"),
        (lambda a: gaussavatar.load_avatar(a.loaded.path, ood="much"), "an ood of 0 to 1, got 'much'"),
    ],
)
def test_wrong_values_are_said_in_one_line(avatar: Avatar, use, said: str, types_unchecked: None) -> None:  # noqa: ANN001
    with pytest.raises(UserError, match=said) as caught:
        use(avatar)
    assert "\n" not in str(caught.value)


def test_lists_texts_and_paths_are_taken_too(avatar: Avatar, tmp_path: Path, types_unchecked: None) -> None:
    picture = avatar.picture(FaceState([0.0] * 4, [0.0] * 3))  # type: ignore[arg-type]
    gaussavatar.save_picture(str(tmp_path / "back.png"), picture)
    other = next(avatar.frames(avatar.filmed, camera=avatar.camera(), background=tmp_path / "back.png"))
    assert other.shape == picture.shape


def test_drawing_gives_the_cores_back_between_pictures(avatar: Avatar) -> None:
    before = torch.get_num_threads()
    pictures = avatar.frames(avatar.filmed.frames(0, 8))
    next(pictures)
    assert torch.get_num_threads() == before
