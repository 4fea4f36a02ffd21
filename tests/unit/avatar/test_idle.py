"""Idle motion, and accents: no jump between silence and speech, and only what stress moves follows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gaussavatar
from gaussavatar.audio.stress import N_STRESS, stress
from gaussavatar.avatar.accents import ACCENTS, Accents, stored_accents
from gaussavatar.avatar.controlled import Person, apply_controls
from gaussavatar.avatar.idle import idle_motion
from gaussavatar.errors import UserError
from gaussavatar.motion.blinks import blink_starts
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.poses import deviations, mean_pose, neck_points, posed
from gaussavatar.motion.track import MotionTrack
from gaussavatar.training.accents import fit_accents
from gaussavatar.types import FaceMotion, Tracking, Waveform

NAMES = (
    "blink_left", "blink_right", "wide", "squint", "brow_inner", "brow_outer", "brow_down", "gaze_x", "gaze_y",
)  # fmt: skip


def smooth(rng: np.random.Generator, n: int, k: int, width: int) -> np.ndarray:
    noise = rng.normal(size=(n + width, k))
    return np.stack([np.convolve(column, np.hanning(width), "same")[:n] for column in noise.T], 1) / np.sqrt(width)


@pytest.fixture(scope="module")
def person() -> Person:
    rng, n = np.random.default_rng(3), 1000
    upper = 0.1 * np.abs(smooth(rng, n, 9, 20)).astype(np.float32)
    for start in np.cumsum(rng.uniform(1.2, 3.0, 18) * 25).astype(int):
        upper[start - 1 : start + 6, :2] = np.array([0.2, 0.95, 0.9, 0.5, 0.2, 0.15, 0.1])[: n - start + 1, None]
    poses = posed(smooth(rng, n, 3, 50) * 0.05, smooth(rng, n, 3, 50) * 0.004 + [0, 0, 0.5]).astype(np.float32)
    codes = smooth(rng, n, 3, 8).astype(np.float32)
    filmed = MotionTrack(codes, upper, poses, np.arange(n), 25.0, NAMES, "somebody")
    return Person(filmed, np.array([-1.0, 0.5, 0.0], np.float32))


def test_alone_it_is_calm_with_closed_lips_and_blinks(person: Person) -> None:
    idle = idle_motion(person, 60.0, seed=1)
    assert len(idle) == 1500 and (idle.mouth_codes == person.closed).all() and idle.avatar == "somebody"
    assert 10 < len(blink_starts(idle.upper[:, :2], 25)) < 60
    mean = mean_pose(person.filmed.T_camera_world)
    own, made = (deviations(track.T_camera_world, mean).std(axis=0) for track in (person.filmed, idle))
    assert (made > 0.25 * own).all() and (made < own).all()
    other = idle_motion(person, 60.0, seed=2)
    assert not np.array_equal(other.upper, idle.upper)
    assert not np.array_equal(other.T_camera_world, idle.T_camera_world)
    assert np.array_equal(idle_motion(person, 60.0, seed=1).T_camera_world, idle.T_camera_world)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 6.0])
def test_between_two_motions_nothing_jumps(person: Person, seconds: float) -> None:
    before, after = person.filmed.frames(0, 200), person.filmed.frames(250, 450)
    idle = idle_motion(person, seconds, 5, before, after)
    whole = MotionTrack.joined([before, idle, after])
    seams = (199, 199 + len(idle))
    steps = {
        "mouth": np.abs(np.diff(whole.mouth_codes, axis=0)).max(axis=1),
        "upper": np.abs(np.diff(whole.upper[:, 2:], axis=0)).max(axis=1),
        "head": np.linalg.norm(np.diff(neck_points(whole.T_camera_world), axis=0), axis=1),
    }
    for name, step in steps.items():
        usual = np.percentile(np.r_[step[:198], step[-198:]], 95)
        # A head that has to be elsewhere within a fifth of a second moves fast.
        most = 1.5 if seconds >= 1 or name != "head" else 4
        assert all(step[seam] <= most * usual for seam in seams), (name, [step[seam] / usual for seam in seams])
    if seconds >= 6:
        assert (np.abs(idle.mouth_codes[50:100] - person.closed) < 1e-6).all()
        assert np.abs(np.diff(whole.places)[[199, 200, seams[1]]]).max() <= 3


def test_motions_of_two_rates_are_refused(person: Person) -> None:
    track = person.filmed.frames(0, 50)
    with pytest.raises(UserError, match="one frame rate"):
        idle_motion(person, 1.0, 0, track, track.at_fps(50.0))
    with pytest.raises(UserError, match="length in seconds"):
        idle_motion(person, 0.0)
    assert idle_motion(person, 1.0, 0, track.at_fps(50.0)).fps == 50


def babble(n: int, seed: int) -> Waveform:
    """Noise in syllables of different loudness."""
    rng = np.random.default_rng(seed)
    loud = np.exp(1.5 * np.repeat(rng.normal(size=n // 5 + 1), 5)[:n])
    samples = np.repeat(loud, 640) * rng.normal(size=n * 640) * 0.02
    return Waveform(samples.astype(np.float32), 16_000)


@pytest.fixture(scope="module")
def clip() -> tuple[FaceMotion, Tracking, Waveform]:
    """A minute in which the head nods with stress, the inner brows rise with it, and all else moves on its own."""
    n, rng = 1500, np.random.default_rng(0)
    sound = babble(n, 1)
    follow = stress(sound, n)[:, 6].astype(float)
    upper = 0.2 * np.abs(smooth(rng, n, 9, 15)).astype(np.float32)
    upper[:, 4] += np.clip(0.3 + 0.2 * follow, 0, 1).astype(np.float32)
    turn, place = 0.02 * smooth(rng, n, 3, 15), 0.003 * smooth(rng, n, 3, 15)
    turn[:, 0] += 0.02 * follow
    place[:, 1] += 0.002 * follow
    T = posed(turn, place + [0, 0, 0.5]).astype(np.float32)
    nothing, none = np.zeros((n, 1), np.float32), np.zeros((1, 478, 3), np.float32)
    motion = FaceMotion(nothing, none, upper, np.zeros((9, 478, 3), np.float32), NAMES, nothing[:, 0], nothing[:, 0])
    tracking = Tracking(
        T[:, :3, :3], T[:, :3, 3], np.eye(3, dtype=np.float32), 512, none[0], none, nothing, np.ones(n, bool),
        nothing[:, 0],
    )  # fmt: skip
    return motion, tracking, sound


def test_what_follows_stress_is_found_and_nothing_else(clip: tuple[FaceMotion, Tracking, Waveform]) -> None:
    motion, tracking, sound = clip
    used = np.ones(1500, bool)
    accents = fit_accents(motion, tracking, sound, used)
    assert set(accents.following) == {"nod", "brow_inner"} and min(accents.following.values()) > 0.2
    assert (accents.weights[:, [1, 2, 4, 5]] == 0).all()
    assert accents.coupling[0, 4] > 0.02, "a nod takes the head's place along"
    strange = fit_accents(motion, tracking, babble(1500, 9), used)
    assert strange.following == {}, "another sound moves nothing"
    assert fit_accents(motion, tracking, sound, np.arange(1500) < 200).following == {}, "too short to tell"
    assert np.array_equal(stored_accents(accents.arrays()).weights, accents.weights)  # type: ignore[union-attr]
    assert stored_accents({}) is None


def test_a_stressed_sound_moves_what_follows_it(person: Person, clip: tuple[FaceMotion, Tracking, Waveform]) -> None:
    motion, tracking, sound = clip
    lively = replace(person, accents=fit_accents(motion, tracking, sound, np.ones(1500, bool)))
    track, stressed = person.filmed, stress(babble(1000, 4), 1000)
    with_sound, without = (
        apply_controls(lively, track, Controls(head="generated", brows="speech"), 1, heard)
        for heard in (stressed, None)
    )
    nods = deviations(with_sound.T_camera_world, mean_pose(without.T_camera_world))[:, 0]
    nods -= deviations(without.T_camera_world, mean_pose(without.T_camera_world))[:, 0]
    assert np.corrcoef(nods, stressed[:, 6])[0, 1] > 0.8
    assert np.corrcoef(with_sound.upper[:, 4], stressed[:, 6])[0, 1] > 0.8
    assert np.array_equal(with_sound.upper[:, 5:], track.upper[:, 5:])
    recorded = apply_controls(lively, track, Controls(mouth_gain=1.2), 1, stressed)
    assert np.array_equal(recorded.T_camera_world, track.T_camera_world)


def test_a_quiet_recording_is_stressed_as_a_loud_one_and_silence_as_nothing() -> None:
    loud = babble(300, 2)
    quiet = Waveform(0.3 * loud.samples, 16_000)
    assert stress(loud, 300).shape == (300, N_STRESS)
    assert np.corrcoef(stress(loud, 300)[:, 6], stress(quiet, 300)[:, 6])[0, 1] > 0.99
    assert (stress(Waveform(np.zeros(16_000, np.float32), 16_000), 25) == 0).all()
    assert len(ACCENTS) == 6 and Accents.__dataclass_fields__.keys() == {"weights", "coupling", "share"}


def test_an_avatar_idles_by_its_public_name(toy_avatar: Path) -> None:
    avatar = gaussavatar.load_avatar(toy_avatar)
    spoken = avatar.motion_for((np.random.default_rng(0).normal(size=16_000).astype(np.float32) * 0.1, 16_000))
    idle = avatar.idle(1.0, 3, after=spoken)
    assert len(idle) == 25 and len(list(avatar.frames(MotionTrack.joined([spoken, idle]).frames(22, 30)))) == 8
