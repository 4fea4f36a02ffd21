"""The motion track: one rule from seconds to frames, and files, cuts and joins that lose nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussavatar.errors import UserError
from gaussavatar.motion.track import ARRAYS, MotionTrack, frames_of_seconds
from gaussavatar.storage import write_arrays


def made_up(n: int = 20, seed: int = 0, fps: float = 25.0) -> MotionTrack:
    random = np.random.default_rng(seed)
    poses = np.tile(np.eye(4, dtype=np.float32), (n, 1, 1))
    poses[:, 2, 3] = 0.7 + 0.001 * np.arange(n)
    codes, upper = random.normal(size=(n, 3)).astype(np.float32), random.random((n, 2)).astype(np.float32)
    return MotionTrack(codes, upper, poses, np.arange(n)[::-1].copy(), fps, ("blink", "brow"))


def same(a: MotionTrack, b: MotionTrack) -> bool:
    arrays = all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in ("mouth_codes", "upper", "T_camera_world", "places")
    )
    return arrays and a.fps == b.fps and a.upper_names == b.upper_names


@given(st.floats(0, 600, allow_nan=False), st.sampled_from([25.0, 29.97, 50.0]))
def test_frames_cover_a_stretch_to_within_half_a_frame(seconds: float, fps: float) -> None:
    count = frames_of_seconds(seconds, fps)
    assert count >= 1 and (count == 1 or abs(count / fps - seconds) <= 0.5 / fps + 1e-9)


def test_a_saved_track_is_the_same_track(tmp_path: Path) -> None:
    track = made_up(fps=29.97)
    track.save(tmp_path / "motion.safetensors")
    assert same(MotionTrack.load(tmp_path / "motion.safetensors"), track)


@given(st.integers(1, 20), st.integers(0, 19))
def test_what_is_cut_and_joined_is_whole_again(n: int, cut: int) -> None:
    track, cut = made_up(n), min(cut, n - 1)
    parts = [part for part in (track.frames(0, cut), track.frames(cut, n)) if len(part)]
    assert same(MotionTrack.joined(parts), track)


def test_a_stretch_in_seconds_is_the_frames_shown_then() -> None:
    track = made_up(50)
    part = track.between(0.4, 1.0)
    assert same(part, track.frames(10, 25)) and part.seconds == pytest.approx(0.6)
    with pytest.raises(UserError, match=r"within the 2.00 s"):
        track.between(2.5, 3.0)


def test_every_frame_is_shown_from_its_own_moment_on() -> None:
    track = made_up(1000)
    assert [track.frame_at(i / 25) for i in range(1000)] == list(range(1000))
    assert all(track.between(i / 25, (i + 1) / 25).places[0] == track.places[i] for i in range(0, 999, 7))
    odd = made_up(1000, fps=29.97)
    assert [odd.frame_at(i / 29.97) for i in range(1000)] == list(range(1000))


def test_a_track_remembers_whose_it_is(tmp_path: Path) -> None:
    track = replace(made_up(), avatar="abc")
    track.save(str(tmp_path / "m.safetensors"))
    again = MotionTrack.load(str(tmp_path / "m.safetensors"))
    assert again.avatar == again.frames(2, 5).avatar == MotionTrack.joined([again, again]).avatar == "abc"
    with pytest.raises(UserError, match="motion tracks of one avatar"):
        MotionTrack.joined([track, made_up()])


def test_between_frames_the_face_is_linear_and_beyond_the_ends_it_stays() -> None:
    track = made_up(4)
    middle = track.at(2 / 25)
    assert np.allclose(middle.mouth_codes, track.mouth_codes[1:3].mean(axis=0), atol=1e-6)
    assert np.array_equal(track.at(-3).upper, track.upper[0]) and np.array_equal(track.at(9).upper, track.upper[-1])
    assert [track.frame_at(s) for s in (-1.0, 0.0, 0.0399, 0.0401, 99.0)] == [0, 0, 0, 1, 3]


def test_tracks_of_two_avatars_are_not_joined() -> None:
    other = MotionTrack(
        np.zeros((2, 5), np.float32),
        np.zeros((2, 2), np.float32),
        np.tile(np.eye(4, dtype=np.float32), (2, 1, 1)),
        np.arange(2),
    )
    for wrong in ([made_up(), other], [made_up(), made_up(fps=30.0)], []):
        with pytest.raises(UserError, match="motion tracks of one avatar"):
            MotionTrack.joined(wrong)


@pytest.mark.usefixtures("types_unchecked")
def test_arrays_of_different_lengths_are_no_track() -> None:
    track = made_up(5)
    with pytest.raises(ValueError, match="one length"):
        MotionTrack(track.mouth_codes[:4], track.upper, track.T_camera_world, track.places)
    with pytest.raises(ValueError, match="3 names for 2"):
        MotionTrack(track.mouth_codes, track.upper, track.T_camera_world, track.places, 25.0, ("a", "b", "c"))


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize("kind", ["absent", "torn", "foreign", "newer", "nan", "short", "empty", "negative", "rate"])
def test_a_file_that_is_no_usable_track_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path, track = tmp_path / "motion.safetensors", made_up(6)
    facts = {"format": "gaussavatar motion", "version": "1", "fps": "25.0", "upper_names": "[]"}
    arrays = {name: getattr(track, name).copy() for name in ARRAYS}
    if kind == "newer":
        facts["version"] = "2"
    if kind == "foreign":
        facts = {}
    if kind == "rate":
        facts["fps"] = "nan"
    if kind == "nan":
        arrays["upper"][2, 0] = np.nan
    if kind == "short":
        arrays["places"] = arrays["places"][:3]
    if kind == "empty":
        arrays = {name: array[:0] for name, array in arrays.items()}
    if kind == "negative":
        arrays["places"][0] = -1
    if kind != "absent":
        write_arrays(path, arrays, facts)
    if kind == "torn":
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError) as caught:
        MotionTrack.load(path)
    assert "\n" not in str(caught.value)
