"""Appearance codes: what is seen between the lips, apart from where the lips are."""

import numpy as np

from gaussavatar.landmarks.indices import LIPS_INNER
from gaussavatar.tracking.face.appearance import appearance_codes, mouth_points, sample_appearance
from gaussavatar.tracking.face.motion import mouth_region

SIZE = 128


def canonical_shape() -> np.ndarray:
    """A made-up face: landmarks on a grid, the lips' points on two arcs, metres."""
    random = np.random.default_rng(3)
    shape = np.zeros((478, 3))
    shape[:, 0] = random.uniform(-0.06, 0.06, 478)
    shape[:, 1] = random.uniform(-0.07, 0.08, 478)
    angles = np.linspace(0, 2 * np.pi, len(LIPS_INNER), endpoint=False)
    shape[list(LIPS_INNER), 0] = 0.022 * np.cos(angles)
    shape[list(LIPS_INNER), 1] = 0.045 + 0.008 * np.sin(angles)
    return shape


def paint(shape: np.ndarray, brightness: float, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose mouth is an ellipse of some brightness, moved by ``shift`` pixels; and its landmarks."""
    pixels = shape[:, :2] * 700 + SIZE / 2 + shift
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centre = pixels[list(LIPS_INNER)].mean(axis=0)
    inside = ((x - centre[0]) / 15) ** 2 + ((y - centre[1]) / 5.5) ** 2 < 1
    image = np.full((SIZE, SIZE, 3), 150.0)
    image[inside] = 40 + 150 * brightness
    return image.astype(np.uint8), pixels


def test_points_lie_on_their_triangles():
    shape = canonical_shape()
    points = mouth_points(shape, mouth_region(shape))
    assert np.allclose(points.weights.sum(axis=1), 1, atol=1e-6)
    assert points.weights.min() >= 0
    inside = np.isin(points.corners, LIPS_INNER).all(axis=1)
    assert inside[: len(inside) // 2].all()
    again = mouth_points(shape, mouth_region(shape))
    assert (again.corners == points.corners).all()


def test_a_moving_face_of_constant_looks_has_constant_values():
    shape = canonical_shape()
    points = mouth_points(shape, mouth_region(shape))
    moved = [paint(shape, 0.5, np.array(shift)) for shift in ((0.0, 0.0), (4.0, -3.0), (-5.0, 2.0))]
    values = sample_appearance([image for image, _ in moved], np.stack([pixels for _, pixels in moved]), points)
    assert np.abs(values - values[0]).max() < 0.01


def test_the_first_code_follows_the_teeth_and_not_what_is_known():
    random = np.random.default_rng(0)
    shape = canonical_shape()
    points = mouth_points(shape, mouth_region(shape))
    teeth, light = random.random(80), random.normal(size=80)
    pictures = [paint(shape, b, random.normal(0, 2, 2)) for b in teeth]
    values = sample_appearance([image for image, _ in pictures], np.stack([pixels for _, pixels in pictures]), points)
    values = values + 0.2 * light[:, None].astype(np.float32)
    used = np.ones(80, bool)
    used[70:] = False
    codes = appearance_codes(values, points.counts, light[:, None], used, 2)
    assert abs(np.corrcoef(codes[:, 0], teeth)[0, 1]) > 0.97
    assert abs(np.corrcoef(codes[:70, 0], light[:70])[0, 1]) < 0.05
    assert np.allclose(codes[used].std(axis=0), 1, atol=1e-3)


def test_points_outside_of_the_picture_are_survived():
    shape = canonical_shape()
    points = mouth_points(shape, mouth_region(shape))
    image, pixels = paint(shape, 0.5, np.zeros(2))
    values = sample_appearance([image, image], np.stack([pixels + 1e4, pixels - 1e4]), points)
    assert np.isfinite(values).all()
