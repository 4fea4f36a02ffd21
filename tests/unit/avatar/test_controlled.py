"""Controls change what they name, as far as they say, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

import gaussavatar
from gaussavatar.avatar.arkit import ArkitMap, seen_codes
from gaussavatar.avatar.controlled import Person, apply_controls
from gaussavatar.errors import UserError
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.motion.blinks import BlinkHabit, blink_starts, generated_blinks, learn_blinks, without_blinks
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.poses import deviations, mean_pose, posed
from gaussavatar.motion.sway import cuts, matching_places, without_jumps
from gaussavatar.motion.track import ARRAYS, MotionTrack

NAMES = (
    "blink_left", "blink_right", "wide", "squint", "brow_inner", "brow_outer", "brow_down", "gaze_x", "gaze_y",
)  # fmt: skip
CLOSED = np.array([-1.0, 0.5, 0.0], np.float32)


def smooth_noise(rng: np.random.Generator, n: int, k: int, width: int) -> np.ndarray:
    noise = rng.normal(size=(n + width, k))
    return np.stack([np.convolve(column, np.hanning(width), "same")[:n] for column in noise.T], 1) / np.sqrt(width)


@pytest.fixture(scope="module")
def person() -> Person:
    """Forty seconds of a person who blinks about every two seconds and turns the head."""
    rng, n = np.random.default_rng(3), 1000
    upper = 0.1 * np.abs(smooth_noise(rng, n, 9, 20)).astype(np.float32)
    for start in np.cumsum(rng.uniform(1.2, 3.0, 18) * 25).astype(int):
        upper[start - 1 : start + 6, :2] = np.array([0.2, 0.95, 0.9, 0.5, 0.2, 0.15, 0.1])[: n - start + 1, None]
    turn, place = smooth_noise(rng, n, 3, 50) * 0.05, smooth_noise(rng, n, 3, 50) * 0.004
    poses = posed(turn, place + [0, 0, 0.5]).astype(np.float32)
    codes = smooth_noise(rng, n, 3, 8).astype(np.float32)
    filmed = MotionTrack(codes, upper, poses, np.arange(n), 25.0, NAMES, "somebody")
    return Person(filmed, CLOSED, ("jawOpen", "mouthSmileLeft"))


def changed(before: MotionTrack, after: MotionTrack) -> set[str]:
    return {name for name in ARRAYS if not np.array_equal(getattr(before, name), getattr(after, name))}


def test_no_wish_changes_nothing(person: Person) -> None:
    assert apply_controls(person, person.filmed, Controls()) is person.filmed


@pytest.mark.parametrize(
    ("controls", "what"),
    [
        (Controls(mouth_gain=1.3), {"mouth_codes"}),
        (Controls(style_strength=0.5), {"mouth_codes"}),
        (Controls(smoothing=0.1), {"mouth_codes"}),
        (Controls(blink="none"), {"upper"}),
        (Controls(blink="generated"), {"upper"}),
        (Controls(brow_gain=2.0), {"upper"}),
        (Controls(upper={"squint": 0.4}), {"upper"}),
        (Controls(gaze="camera"), {"upper"}),
        (Controls(head="still"), {"T_camera_world", "places"}),
        (Controls(head="generated"), {"T_camera_world", "places"}),
        (Controls(style_part=(3.0, 9.0)), {"upper", "T_camera_world", "places"}),
    ],
)
def test_a_wish_changes_what_it_names_and_nothing_else(person: Person, controls: Controls, what: set[str]) -> None:
    track = person.filmed.frames(100, 400)
    assert changed(track, apply_controls(person, track, controls)) == what


def test_the_mouth_goes_from_the_closed_one_and_style_from_the_mean(person: Person) -> None:
    track, mean = person.filmed, person.filmed.mouth_codes.mean(axis=0)
    wide = apply_controls(person, track, Controls(mouth_gain=2.0)).mouth_codes
    assert np.allclose(wide - CLOSED, 2 * (track.mouth_codes - CLOSED), atol=1e-5)
    assert np.allclose(apply_controls(person, track, Controls(mouth_gain=0.0)).mouth_codes, CLOSED)
    calm = apply_controls(person, track, Controls(style_strength=0.5)).mouth_codes
    assert np.allclose(calm - mean, 0.5 * (track.mouth_codes - mean), atol=1e-5)


def test_smoothing_calms_the_mouth_and_keeps_its_moments(person: Person) -> None:
    pulse = np.zeros((101, 3), np.float32)
    pulse[50] = 1
    track = replace(person.filmed.frames(0, 101), mouth_codes=pulse)
    codes = apply_controls(person, track, Controls(smoothing=0.2)).mouth_codes[:, 0]
    assert codes.argmax() == 50 and codes.sum() == pytest.approx(1, abs=1e-4)
    # Half as high a tenth of a second, two and a half frames, away.
    assert np.interp(52.5, np.arange(101), codes) == pytest.approx(codes.max() / 2, rel=0.08)


def test_without_blinks_the_lids_never_close_and_stay_as_they_were_between(person: Person) -> None:
    track = person.filmed
    lids = apply_controls(person, track, Controls(blink="none")).upper[:, :2]
    assert track.upper[:, :2].max() > 0.9 and lids.max() < 0.4
    far = np.ones(len(track), bool)
    for start in blink_starts(track.upper[:, :2], 25).tolist():
        far[max(0, start - 6) : start + 15] = False
    assert far.sum() > 300 and np.array_equal(lids[far], track.upper[far, :2])


def test_new_blinks_have_the_persons_timing_and_shape_and_differ_by_seed(person: Person) -> None:
    lids = person.filmed.upper[:, :2]
    habit = learn_blinks(lids, 25)
    assert habit.learnt and habit.shapes.max() > 0.7
    own = np.diff(blink_starts(lids, 25)) / 25
    made = generated_blinks(habit, 25 * 600, 25, np.random.default_rng(0))
    intervals = np.diff(blink_starts(made, 25)) / 25
    assert np.median(intervals) == pytest.approx(np.median(own), rel=0.2)
    assert intervals.min() >= 0.28
    tracks = [apply_controls(person, person.filmed, Controls(blink="generated"), seed).upper for seed in (1, 1, 2)]
    assert np.array_equal(tracks[0], tracks[1]) and not np.array_equal(tracks[0], tracks[2])
    assert tracks[0][:, :2].max() <= 1


@pytest.mark.parametrize("fps", [25.0, 50.0, 60.0])
def test_blinks_last_as_long_at_any_frame_rate(person: Person, fps: float) -> None:
    habit = learn_blinks(person.filmed.upper[:, :2], 25)
    shut = (generated_blinks(habit, round(300 * fps), fps, np.random.default_rng(5)) > 0.5).mean()
    wanted = (generated_blinks(habit, 300 * 25, 25, np.random.default_rng(5)) > 0.5).mean()
    assert shut == pytest.approx(wanted, rel=0.15)


def test_a_clip_without_blinks_takes_peoples_usual_ones() -> None:
    habit = learn_blinks(np.zeros((200, 2), np.float32), 25)
    assert not habit.learnt
    made = generated_blinks(habit, 25 * 60, 25, np.random.default_rng(0))
    assert 12 <= len(blink_starts(made, 25)) <= 40
    assert np.array_equal(without_blinks(np.zeros((5, 2), np.float32), 25), np.zeros((5, 2), np.float32))


def test_two_blinks_are_never_in_one_moment() -> None:
    habit = BlinkHabit(-3.0, 0.5, np.ones((1, 16, 2), np.float32), 25, learnt=True)
    starts = blink_starts(generated_blinks(habit, 500, 25, np.random.default_rng(0)), 25)
    assert len(starts) < 500 / 25 / 0.3 + 1


def test_a_still_head_has_one_pose_and_its_own_torso(person: Person) -> None:
    track = apply_controls(person, person.filmed, Controls(head="still"))
    assert len(np.unique(track.places)) == 1
    assert (track.T_camera_world == person.filmed.T_camera_world[track.places[0]]).all()


def test_a_generated_head_moves_as_much_as_the_persons_on_a_torso_that_does_not_jump(person: Person) -> None:
    mean = mean_pose(person.filmed.T_camera_world)
    own = deviations(person.filmed.T_camera_world, mean)
    for seed in (0, 1):
        track = apply_controls(person, person.filmed, Controls(head="generated"), seed)
        made = deviations(track.T_camera_world, mean)
        ratio = made.std(axis=0) / own.std(axis=0)
        assert (0.4 < ratio).all() and (ratio < 1.5).all()
        assert np.abs(np.diff(made, axis=0)).mean() < 1.6 * np.abs(np.diff(own, axis=0)).mean()
        assert np.abs(np.diff(track.places)).max() <= 2
    assert np.abs(np.corrcoef(made[:, 0], own[:, 0])[0, 1]) < 0.5


def test_another_clips_head_is_followed_about_this_persons_mean(person: Person) -> None:
    rng = np.random.default_rng(8)
    other_poses = posed(smooth_noise(rng, 200, 3, 30) * 0.03 + 0.3, smooth_noise(rng, 200, 3, 30) * 0.002 + 0.9)
    other = MotionTrack(
        np.zeros((200, 7), np.float32), np.zeros((200, 1), np.float32), other_poses.astype(np.float32),
        np.zeros(200, int), 25.0, (), "another",
    )  # fmt: skip
    track = apply_controls(person, person.filmed.frames(0, 200), Controls(head=other))
    made = deviations(track.T_camera_world, mean_pose(person.filmed.T_camera_world))
    wanted = deviations(other.T_camera_world, mean_pose(other.T_camera_world))
    assert np.allclose(made, wanted, atol=1e-5) and wanted.std() > 0.003
    # One that is shorter goes back and forth.
    assert len(apply_controls(person, person.filmed, Controls(head=other))) == 1000


def test_another_motion_of_the_same_avatar_brings_its_torso(person: Person) -> None:
    part = person.filmed.frames(500, 700)
    track = apply_controls(person, person.filmed.frames(0, 200), Controls(head=part))
    assert np.array_equal(track.places, np.arange(500, 700))


def test_a_style_part_is_looped_from_its_own_seconds(person: Person) -> None:
    track = apply_controls(person, person.filmed, Controls(style_part=(10.0, 14.0)))
    assert track.places.min() == 250 and track.places.max() == 349
    assert np.array_equal(track.upper, person.filmed.upper[track.places])


def test_eyes_stay_on_the_camera_while_the_head_turns(person: Person) -> None:
    poses = posed(np.array([[0, 0.1, 0], [0, -0.1, 0], [0.1, 0, 0.0]]), np.tile([0, 0, 0.5], (3, 1)))
    mean = mean_pose(person.filmed.T_camera_world)
    track = replace(person.filmed.frames(0, 3), T_camera_world=(mean @ poses).astype(np.float32))
    gaze = apply_controls(person, track, Controls(gaze="camera")).upper[:, 7:]
    # A face that turns to the picture's left (about y, downwards) looks to the right to see the camera.
    assert gaze[0, 0] > 0.4 and gaze[1, 0] < -0.4 and gaze[2, 1] < -0.4
    fixed = apply_controls(person, track, Controls(gaze=(0.5, -0.25))).upper[:, 7:]
    assert (fixed == np.array([0.5, -0.25], np.float32)).all()


def test_a_face_put_on_is_that_of_the_persons_own_map_and_stays_within_it(person: Person) -> None:
    mouth, upper = np.zeros((52, 3), np.float32), np.zeros((52, 9), np.float32)
    mouth[ARKIT_EXPRESSIONS.index("mouthSmileLeft")] = [0.5, -0.5, 0]
    upper[ARKIT_EXPRESSIONS.index("browInnerUp"), 4] = 1.0
    seen = seen_codes(person.filmed.mouth_codes)
    own = ArkitMap(CLOSED, person.resting_upper, mouth, upper, *seen, np.ones(3, np.float32))
    bare = replace(person, movements=(), arkit=own)
    calm = replace(person.filmed, mouth_codes=0 * person.filmed.mouth_codes + seen[0])
    track = apply_controls(bare, calm, Controls(emotion={"mouthSmileLeft": 0.5, "browInnerUp": 0.5}))
    smile = own.face(np.eye(52, dtype=np.float32)[[ARKIT_EXPRESSIONS.index("mouthSmileLeft")]] * 0.5)[0][0] - CLOSED
    assert np.allclose(track.mouth_codes - seen[0], smile, atol=1e-4) and smile[0] > 0.1
    assert np.allclose((track.upper - calm.upper)[:, 4], 0.5, atol=1e-6)
    far = apply_controls(bare, calm, Controls(emotion={"mouthSmileLeft": 3.0})).mouth_codes
    assert np.linalg.norm((far - seen[0]) @ seen[1], axis=1).max() <= seen[2][1] + 1e-4
    bound = apply_controls(person, person.filmed, Controls(emotion={"jawOpen": 0.5}))
    assert bound.movement_names == ("jawOpen",) and bound.movements is not None and (bound.movements == 0.5).all()


def test_raised_brows_are_raised_and_not_lowered(person: Person) -> None:
    before, after = person.filmed.upper, apply_controls(person, person.filmed, Controls(brow_offset=0.5)).upper
    assert np.allclose((after - before)[:, 4:6], [0.5, 0.5], atol=1e-5)
    assert np.allclose(after[:, 6], np.maximum(before[:, 6] - 0.5, -0.3), atol=1e-5)
    high = apply_controls(person, person.filmed, Controls(brow_offset=2.0)).upper
    assert high[:, 4].max() == pytest.approx(1.3), "no further than a little beyond strong"


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        (Controls(upper={"squnt": 0.5}), "did you mean squint?"),
        (Controls(emotion={"mouthSmileLft": 0.5}), "did you mean mouthSmileLeft?"),
        (Controls(style_part=(60.0, 70.0)), "within the 40.0 s of the filmed track"),
    ],
)
def test_a_wish_that_the_avatar_cannot_fulfil_is_said(person: Person, controls: Controls, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        apply_controls(person, person.filmed, controls)


def test_an_avatar_without_a_channel_says_so(person: Person) -> None:
    bare = replace(person.filmed, upper=person.filmed.upper[:, 2:4], upper_names=("wide", "squint"))
    for controls in (Controls(blink="none"), Controls(brow_gain=2.0), Controls(gaze="camera")):
        with pytest.raises(UserError, match="without"):
            apply_controls(Person(bare, CLOSED), bare, controls)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mouth_gain": 9}, "mouth_gain from 0 to 4, got 9"),
        ({"mouth_gain": float("nan")}, "got nan"),
        ({"mouth_gain": "loud"}, "got 'loud'"),
        ({"smoothing": -1}, "smoothing from 0 to 2"),
        ({"blink": "often"}, "recorded, generated, none, got 'often'"),
        ({"head": "spinning"}, "got 'spinning'"),
        ({"gaze": (1, 2, 3)}, "gaze as two numbers"),
        ({"gaze": (9.0, 0.0)}, "gaze from -1.5 to 1.5"),
        ({"upper": [1]}, "by name"),
        ({"upper": {"squint": 9}}, "upper squint from -3 to 3"),
        ({"style_part": (5, 2)}, "to a later one"),
        ({"style_strength": 7}, "style_strength from 0 to 3"),
    ],
)
def test_a_value_out_of_range_is_refused_when_it_is_made(values: dict, said: str, types_unchecked: None) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        Controls(**values)


def test_an_avatar_takes_controls_by_its_public_name(toy_avatar: Path) -> None:
    avatar = gaussavatar.load_avatar(toy_avatar)
    motion = avatar.filmed
    still = avatar.controlled(motion, gaussavatar.Controls(head="still", blink="none", mouth_gain=0.5), seed=4)
    assert changed(motion, still) == set(ARRAYS)
    frames = list(avatar.frames(still.frames(0, 2)))
    assert frames[0].shape == (96, 96, 3)


def test_a_torso_does_not_pass_a_cut_of_the_clip_unless_it_must() -> None:
    rng = np.random.default_rng(0)
    filmed = 0.003 * smooth_noise(rng, 400, 9, 40)
    filmed[200:] += 0.02
    assert np.flatnonzero(cuts(filmed)).tolist() == [199]
    wanted = np.repeat(filmed[100][None], 300, axis=0)
    wanted[150:152] = filmed[230]
    assert matching_places(filmed, wanted, start=100).max() < 200, "not for two frames on the other side"
    assert matching_places(filmed, wanted, start=100, end=150)[-1] == 150
    assert matching_places(filmed, wanted, start=100, end=300).max() < 200
    wanted[100:] = filmed[230]
    assert matching_places(filmed, wanted, start=100, end=300)[-1] == 300
    joined = without_jumps(filmed, cuts(filmed))
    assert np.abs(np.diff(joined, axis=0)).max() < 0.005 < np.abs(np.diff(filmed, axis=0)).max()
    assert np.allclose(np.diff(joined[200:], axis=0), np.diff(filmed[200:], axis=0))
    assert not cuts(filmed[:100]).any() and cuts(filmed[:1]).shape == (0,)


def test_a_torso_takes_the_cheapest_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    filmed = 0.002 * rng.normal(size=(7, 9)).cumsum(axis=0)
    wanted = filmed[rng.integers(7, size=5)] + 0.001 * rng.normal(size=(5, 9))
    # A step of one is free, one of two costs what it costs, a longer one is none.
    fees = {0: 0.0, 1: 0.0, 2: 4e-7}
    costs = {
        path: sum(((filmed[place] - point) ** 2).sum() for place, point in zip(path, wanted, strict=True))
        + sum(fees[abs(b - a)] for a, b in pairwise(path))
        for path in product(range(7), repeat=5)
        if path[0] == 3 and all(abs(b - a) <= 2 for a, b in pairwise(path))
    }
    assert not cuts(filmed).any()
    assert tuple(matching_places(filmed, wanted, start=3).tolist()) == min(costs, key=costs.__getitem__)
