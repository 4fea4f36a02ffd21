"""A camera that sets its exposure by itself: its gains are found behind the person and taken out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.capture.exposure import (
    LARGEST,
    SIDE,
    EvenLight,
    UsualLight,
    gain_of,
    small,
    usual_light,
)
from gaussavatar.capture.video import CaptureConfig, capture_video
from gaussavatar.image.srgb import displayed, linear
from gaussavatar.progress import QuietProgress
from tests.exposed import expose

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
GAINS = np.exp2(0.4 * np.sin(np.arange(24.0))[:, None] * [1.0, 0.9, 0.7])


def scene(cover: float, gain: np.ndarray, seed: int, size: int = SIDE) -> np.ndarray:
    """A wall in a camera's exposure, with somebody before a part of it who looks different in every frame."""
    wall = linear(np.random.default_rng(0).uniform(50.0, 190.0, (size, size, 3)) / 255)
    wide = round(cover * size)
    person = np.random.default_rng(seed).uniform(0.02, 0.7, (size, wide, 3))
    start = seed % 3 * (size - wide) // 4
    wall[:, start : start + wide] = person
    return np.round(255 * displayed(wall * gain)).astype(np.uint8)


def found_light() -> UsualLight:
    usual = usual_light([scene(0.4, gain, seed) for seed, gain in enumerate(GAINS)])
    assert usual is not None
    return usual


def test_gains_are_found_behind_somebody_who_moves() -> None:
    usual = found_light()
    told = np.stack([gain_of(scene(0.4, gain, seed), usual) for seed, gain in enumerate(GAINS)])
    off = np.log2(told / GAINS)
    # Which exposure is the usual one is a matter of taste; that all are brought to the same is not.
    assert np.abs(off - np.median(off, 0)).max() < 0.02
    assert usual.changes == pytest.approx(np.ptp(np.log2(GAINS), axis=0).max(), abs=0.03)


def test_somebody_who_leans_before_most_of_the_wall_hides_no_gain() -> None:
    usual = found_light()
    middle = np.log2(gain_of(scene(0.4, np.ones(3), 0), usual))
    near = np.log2(gain_of(scene(0.55, np.array([1.3, 1.2, 1.1]), 50), usual)) - middle
    np.testing.assert_allclose(near, np.log2([1.3, 1.2, 1.1]), atol=0.03)
    assert gain_of(scene(1.0, np.ones(3), 51), usual) is None


def test_frames_come_out_in_one_light() -> None:
    usual = found_light()
    even = EvenLight(usual)
    walls = np.stack([even(scene(0.4, gain, seed)) for seed, gain in enumerate(GAINS)])[:, :, -20:].astype(float)
    assert np.abs(walls - np.median(walls, 0)).max() <= 2.0
    before = np.stack([scene(0.4, gain, seed) for seed, gain in enumerate(GAINS)])[:, :, -20:].astype(float)
    assert np.abs(before - np.median(before, 0)).max() > 20.0


def test_a_frame_that_tells_nothing_has_the_gain_of_the_one_before() -> None:
    even = EvenLight(found_light())
    even(scene(0.4, np.full(3, 1.3), 3))
    covered = scene(1.0, np.full(3, 1.3), 52)
    kept = even(covered).astype(float)
    assert np.abs(kept - 255 * displayed(linear(covered / 255) / even._gain)).max() <= 0.5
    assert np.abs(kept - covered).mean() > 5


def test_a_fade_stays_a_fade() -> None:
    even = EvenLight(found_light())
    dark = scene(0.4, np.full(3, 2.0 ** (-LARGEST - 0.4)), 3)
    np.testing.assert_array_equal(even(dark), dark)


def test_nothing_is_told_where_nothing_can_be() -> None:
    pictures = [scene(0.4, gain, seed) for seed, gain in enumerate(GAINS)]
    assert usual_light([scene(0.4, np.full(3, 1 + 0.01 * (seed % 2)), seed) for seed in range(24)]) is None, "steady"
    assert usual_light([np.roll(picture, 7 * seed, 1) for seed, picture in enumerate(pictures)]) is None, "moves"
    wall = [scene(0.4, gain, seed) for seed, gain in enumerate(GAINS)]
    for picture in wall:
        # Most of the wall is clipped in one colour and stays as it is in the others, whatever happens elsewhere.
        picture[:, 60:] = [150, 160, 255]
    assert usual_light(wall) is None, "clipped in one colour"
    assert usual_light([picture // 12 for picture in pictures]) is None, "black"
    assert usual_light(pictures[:4]) is None, "few"
    lights = [1.0] * 20 + [0.35, 0.2, 0.1, 0.05]
    assert usual_light([scene(0.4, np.full(3, light), seed) for seed, light in enumerate(lights)]) is None, "fade"


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"the real clips at {CLIPS} are absent")
def test_a_real_clip_under_automatic_exposure(tmp_path: Path) -> None:
    spoilt, plain = tmp_path / "phone.mp4", tmp_path / "plain.mp4"
    expose(CLIPS / "woman_8s.mp4", spoilt, 0.35, side=256)
    expose(CLIPS / "woman_8s.mp4", plain, 0.0, side=256)

    levels = {}
    for name, video, even in (("plain", plain, True), ("spoilt", spoilt, False), ("evened", spoilt, True)):
        config = CaptureConfig(size=128, even_exposure=even)
        taken = capture_video(video, tmp_path / name, config, QuietProgress())
        frames = taken.frames()
        # The wall beside the head.
        levels[name] = np.array([small(frames.read(i))[8:24, :12].mean((0, 1)) for i in range(len(frames))])
        noted = any("evened out" in note for note in taken.source["notes"])
        assert noted == (name == "evened"), name
    wander = {name: np.log(level).std(0).max() for name, level in levels.items()}
    assert wander["spoilt"] > 0.06
    assert wander["evened"] < wander["plain"] + 0.015, wander
