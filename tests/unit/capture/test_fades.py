"""Fades and turned pictures: what is dark is left out, and what lies on its side is said to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.capture.fades import find_faded
from gaussavatar.capture.suitability import Sample, check_samples, colour_histogram
from gaussavatar.errors import UserError
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.types import Landmarks

RNG = np.random.default_rng(0)
SHAPE = RNG.normal(size=(478, 3)).astype(np.float32) * 60 + 200
FACE = RNG.integers(90, 220, (64, 64, 3)).astype(np.uint8)


def sample(moment: float, light: float, turn: int = 0, face: np.ndarray = FACE) -> Sample:
    dim = (face * light).astype(np.uint8)
    moved = SHAPE + RNG.normal(size=SHAPE.shape).astype(np.float32) * 4
    moved[[10, 152], :2] = [[200, 100], [200, 300]]
    return Sample(moment, (200.0,), moved, colour_histogram(dim), colour_histogram(dim), turn)


def test_a_fade_is_no_other_person() -> None:
    lights = [0.1, 0.3, *[1.0] * 8, 0.25, 0.05]
    samples = [sample(index, light) for index, light in enumerate(lights)]
    kept = check_samples(samples, "a.mp4", 100)
    assert [one.seconds for one in kept] == list(range(2, 10))
    # Who stays in the dark is no fade.
    long = [sample(20 + index, 0.3) for index in range(6)]
    with pytest.raises(UserError, match="a cut to another"):
        check_samples([*samples, *long], "a.mp4", 100)
    blue = np.dstack([FACE[..., 0] // 3, FACE[..., 1] // 3, FACE[..., 2]])
    other = [sample(20 + index, 1.0, face=blue) for index in range(6)]
    for one in other:
        one.points[:] = RNG.normal(size=SHAPE.shape) * 60 + 200  # type: ignore[index]
        one.points[[10, 152], :2] = [[200, 100], [200, 300]]  # type: ignore[index]
    with pytest.raises(UserError, match="a cut to another"):
        check_samples([*samples, *other], "a.mp4", 100)


@pytest.mark.parametrize(("turn", "said"), [(180, "upside down"), (90, "on its side"), (270, "on its side")])
def test_a_turned_picture_is_refused_with_the_way_to_turn_it(turn: int, said: str) -> None:
    samples = [sample(index, 1.0, turn) for index in range(9)] + [sample(9, 1.0)]
    with pytest.raises(UserError, match=f"{said}.*turn it by {turn} degrees"):
        check_samples(samples, "a.mp4", 100)
    assert len(check_samples([sample(index, 1.0, 180 * (index < 3)) for index in range(9)], "a.mp4", 100)) == 9


def test_frames_in_the_dark_are_marked(tmp_path: Path) -> None:
    lights = np.array([0.0, 0.2, 0.5, 0.8, *[1.0] * 5, 0.9, *[1.0] * 5, 0.8, 0.9, 0.3])
    with frame_writer(tmp_path / "f.u8", (64, 64, 3)) as writer:
        for light in lights:
            writer.append((FACE * light).astype(np.uint8))
    points = np.tile(np.array([[[8, 8, 0], [56, 56, 0]]], np.float32), (len(lights), 239, 1))
    valid = np.ones(len(lights), bool)
    valid[0] = False
    faded = find_faded(FrameStore(tmp_path / "f.u8"), Landmarks(points, valid, 64))
    # The way into the dark belongs to it; a face that is a little dimmer elsewhere does not.
    assert faded.tolist() == [False, True, True, True, *[False] * 11, True, True, True]
