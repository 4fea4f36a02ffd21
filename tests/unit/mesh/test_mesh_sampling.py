from __future__ import annotations

import numpy as np

from gaussavatar.mesh.sampling import draw_triangles, even_barycentrics
from gaussavatar.mesh.surface import area_normals

CORNERS = np.array(
    [
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        [[0.0, 0.0, 1.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]],
    ]
)


def test_area_normals_are_twice_the_area_and_follow_the_winding() -> None:
    np.testing.assert_allclose(area_normals(CORNERS), [[0, 0, 1], [0, 0, -6]])


def test_triangles_come_as_often_as_their_chance() -> None:
    drawn = draw_triangles(np.array([1.0, 0.0, 3.0]), 40_000, np.random.default_rng(0))
    share = np.bincount(drawn, minlength=3) / len(drawn)
    assert share[1] == 0 and abs(share[0] - 0.25) < 0.01


def test_places_are_even_over_a_triangle() -> None:
    """Mean and covariance of the uniform law on a triangle: a third, and 1/18 and -1/36."""
    places = even_barycentrics(*np.random.default_rng(0).random((2, 200_000)))
    assert (places >= 0).all()
    np.testing.assert_allclose(places.sum(1), 1.0, atol=1e-12)
    np.testing.assert_allclose(places.mean(0), 1 / 3, atol=2e-3)
    np.testing.assert_allclose(np.cov(places.T), np.where(np.eye(3), 1 / 18, -1 / 36), atol=1e-3)
