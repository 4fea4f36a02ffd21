"""The judgements on sampled frames, on made-up samples."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.capture.suitability import (
    Sample,
    check_one_person,
    check_samples,
    choose_crop,
    colour_histogram,
    shape_distance,
)
from gaussavatar.errors import UserError

RNG = np.random.default_rng(5)
FACE = RNG.normal(size=(478, 3)).astype(np.float32) * 60


def histogram(level: int) -> np.ndarray:
    """Colours of a picture that shades smoothly around ``level``."""
    shade = np.linspace(-50, 50, 48 * 48).reshape(48, 48, 1)
    return colour_histogram(np.clip(np.array([1.2, 0.9, 0.7]) * level + shade, 0, 255).astype(np.uint8))


def sample(seconds: float, *, centre=(500.0, 400.0), height=300.0, level=90, face=FACE, others=()) -> Sample:
    points = face.astype(np.float32)
    points[10, :2] = (centre[0], centre[1] - height / 2)
    points[152, :2] = (centre[0], centre[1] + height / 2)
    colours = histogram(level)
    return Sample(seconds, (height, *others), points, colours, colours)


def test_shape_distance_ignores_pose_and_size() -> None:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    assert shape_distance(FACE, 2.5 * FACE @ turn + [3, 4, 5]) < 1e-5
    assert shape_distance(FACE, FACE + RNG.normal(size=FACE.shape) * 6) == pytest.approx(0.1, rel=0.2)


def test_missing_faces_are_refused_by_share() -> None:
    seen = [sample(i) for i in range(4)]
    check_samples([*seen, *(Sample(i, ()) for i in range(4, 10))], "clip", 100)
    with pytest.raises(UserError, match="only 3 of 10"):
        check_samples([*seen[:3], *(Sample(i, ()) for i in range(3, 10))], "clip", 100)
    with pytest.raises(UserError, match="no face"):
        check_samples([Sample(0.0, ())], "clip", 100)


def test_a_second_face_counts_when_large_and_often_there() -> None:
    alone = [sample(i) for i in range(9)]
    check_samples([*alone, sample(9, others=(290,)), sample(10, others=(290,))], "clip", 100)
    check_samples([sample(i, others=(170,)) for i in range(9)], "clip", 100)
    with pytest.raises(UserError, match="two of like size"):
        check_samples([sample(i, others=(190,)) for i in range(9)], "clip", 100)


def test_face_height_is_measured_in_source_pixels() -> None:
    check_samples([sample(i, height=101) for i in range(5)], "clip", 100)
    with pytest.raises(UserError, match="99 pixels"):
        check_samples([sample(i, height=99) for i in range(5)], "clip", 100)


def test_another_person_is_found_and_slow_change_of_light_is_not() -> None:
    stranger = FACE * np.float32([1.3, 1, 1])
    dimming = [sample(i, level=90 + i, face=FACE + RNG.normal(size=FACE.shape) * 6) for i in range(70)]
    check_one_person(dimming, "x")
    with pytest.raises(UserError):
        check_one_person([dimming[0], dimming[-1]], "x")
    clip = [sample(i) for i in range(6)] + [sample(i, level=200, face=stranger) for i in range(6, 9)]
    with pytest.raises(UserError, match=r"about 5\.5 s \(3 of 9"):
        check_one_person(clip, "x")
    with pytest.raises(UserError, match=r"about 1\.5 s \(2 of 9"):
        check_one_person(
            [sample(i, level=200, face=stranger) for i in range(2)] + [sample(i) for i in range(2, 9)], "x"
        )
    # One strange look of eleven is left to the frames' own check; the crop does not follow it.
    glimpse = [*[sample(i) for i in range(10)], sample(10, level=200, face=stranger, centre=(900.0, 400.0))]
    assert check_one_person(glimpse, "x") == glimpse[:10]
    # A stranger's picture with the same colours and another shape, or the same shape and other colours, is one person.
    check_one_person([sample(0), sample(1, face=stranger)], "x")
    check_one_person([sample(0), sample(1, level=200)], "x")


def test_crop_gives_the_face_its_share_and_stays_inside() -> None:
    x, y, side = choose_crop([sample(i) for i in range(5)], 1920, 1080, 0.42)
    assert 300 / side == pytest.approx(0.42, rel=0.01)
    assert x + side / 2 == pytest.approx(500, abs=2)
    assert (400 - y) / side == pytest.approx(0.46, abs=0.01)
    assert all(value % 2 == 0 for value in (x, y, side))
    corner = choose_crop([sample(i, centre=(1850.0, 100.0)) for i in range(5)], 1920, 1080, 0.42)
    assert corner[0] + corner[2] <= 1920 and corner[1] == 0


def test_crop_is_the_largest_square_for_large_faces_and_grows_with_movement() -> None:
    assert choose_crop([sample(i, height=600) for i in range(5)], 1920, 1080, 0.42)[2] == 1080
    still = choose_crop([sample(i) for i in range(9)], 1920, 1080, 0.42)[2]
    moving = choose_crop([sample(i, centre=(300.0 + 100 * i, 400.0)) for i in range(9)], 1920, 1080, 0.42)
    assert moving[2] > still + 300
    assert moving[0] < 300 - 100 and moving[0] + moving[2] > 1100 + 100
