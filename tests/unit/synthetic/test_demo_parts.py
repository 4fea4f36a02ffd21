from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.mesh.surface import closest_points, vertex_normals
from gaussavatar.synthetic.clothes import below_neckline, make_shirt
from gaussavatar.synthetic.hair import above_hairline, make_ribbons
from gaussavatar.synthetic.light import bake_light, visibility
from gaussavatar.synthetic.look import ActorLook, look_of_seed
from gaussavatar.synthetic.paint import value_noise
from gaussavatar.synthetic.subdivide import loop_subdivision, unshrunk


def sphere(n: int = 24, radius: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """A closed sphere of 2 (n - 1) n triangles, outward."""
    angle, turn = np.linspace(0, np.pi, n + 1)[1:-1], np.arange(n) * 2 * np.pi / n
    ring = np.stack(np.broadcast_arrays(np.sin(angle)[:, None] * np.cos(turn), np.cos(angle)[:, None],
                                        np.sin(angle)[:, None] * np.sin(turn)), -1)  # fmt: skip
    vertices = np.concatenate([[[0, 1, 0]], ring.reshape(-1, 3), [[0, -1, 0]]]) * radius
    here, last = np.arange(n), len(vertices) - 1
    follow = (here + 1) % n
    parts = [np.stack([0 * here, 1 + follow, 1 + here], 1)]
    for k in range(n - 2):
        a, b = 1 + k * n, 1 + (k + 1) * n
        parts += [np.stack([a + here, a + follow, b + follow], 1), np.stack([a + here, b + follow, b + here], 1)]
    parts += [np.stack([0 * here + last, last - n + here, last - n + follow], 1)]
    return vertices, np.concatenate(parts).astype(np.int32)


def flat_square(n: int) -> tuple[np.ndarray, np.ndarray]:
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2)
    index = np.arange(n * n).reshape(n, n)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.c_[grid, np.zeros(n * n)].astype(float), triangles.astype(np.int32)


def test_subdivision_keeps_flat_things_flat_and_straight_edges_straight() -> None:
    vertices, triangles = flat_square(5)
    matrix, fine, uv = loop_subdivision(triangles, len(vertices), vertices[triangles][..., :2])
    refined = matrix @ vertices
    assert len(fine) == 4 * len(triangles)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(refined[:, 2], 0, atol=1e-12)
    np.testing.assert_allclose([refined[:, :2].min(), refined[:, :2].max()], [0, 4], atol=0.6)
    area = np.cross(*(refined[fine[:, k]] - refined[fine[:, 0]] for k in (1, 2)))[:, 2]
    assert (area > 0).all() and area.sum() / 2 == pytest.approx(16, rel=0.05)
    np.testing.assert_allclose(uv.mean((0, 1)), [2, 2], atol=1e-9)


def test_the_correction_keeps_vertices_that_plain_subdivision_pulls_inward() -> None:
    vertices, triangles = sphere(10)
    matrix, _, _ = loop_subdivision(triangles, len(vertices), np.zeros((len(triangles), 3, 2)))
    plain = np.linalg.norm((matrix @ vertices)[: len(vertices)], axis=1)
    mended = np.linalg.norm((unshrunk(matrix) @ vertices)[: len(vertices)], axis=1)
    assert plain.mean() < 0.098
    assert np.abs(mended - 0.1).max() < 0.4 * np.abs(plain - 0.1).max()


def test_closest_points_lie_on_the_surface_and_carry_a_point_along() -> None:
    vertices, triangles = sphere()
    queries = np.random.default_rng(0).normal(size=(50, 3))
    queries *= 0.13 / np.linalg.norm(queries, axis=1, keepdims=True)
    near = closest_points(queries, vertices, triangles)
    bound = near.matrix(triangles, len(vertices))
    np.testing.assert_allclose(near.distance, 0.03, atol=0.002)
    np.testing.assert_allclose(np.linalg.norm(bound @ vertices - queries, axis=1), near.distance, atol=1e-9)
    np.testing.assert_allclose(bound @ (2 * vertices + 1), 2 * (bound @ vertices) + 1, atol=1e-12)
    assert (vertex_normals(vertices, triangles) * vertices).sum(1).min() > 0.09


def test_a_vertex_is_hidden_from_the_side_where_something_stands_before_it() -> None:
    vertices, triangles = sphere()
    normals, directions = vertex_normals(vertices, triangles), np.array([[0.0, 0, -1], [1.0, 0, 0]])
    seen = visibility(vertices.astype(np.float32), normals, triangles, directions)
    front, right = vertices[:, 2] < -0.05, vertices[:, 0] > 0.05
    assert seen[0, front].all() and not seen[0, vertices[:, 2] > 0.05].any()
    assert seen[1, right].all() and not seen[1, vertices[:, 0] < -0.05].any()


def test_a_cavity_gets_less_sky_than_the_outside() -> None:
    outer, triangles = sphere()
    inner = outer * 0.6
    vertices = np.concatenate([outer, inner]).astype(np.float32)
    both = np.concatenate([triangles, triangles + len(outer)])
    light = bake_light(vertices, vertex_normals(vertices, both), both, n_sky=24, n_key=6)
    assert light.sky[: len(outer)].mean() > 0.95
    assert light.sky[len(outer) :].max() == 0 and light.key[len(outer) :].max() == 0


def test_noise_is_smooth_bounded_and_differs_between_seeds() -> None:
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (2000, 3))
    noise = value_noise(points, 0.01, 1)
    assert np.abs(noise).max() <= 1.4 and noise.std() > 0.2
    np.testing.assert_allclose(value_noise(points + 1e-7, 0.01, 1), noise, atol=1e-3)
    assert abs(np.corrcoef(noise, value_noise(points, 0.01, 2))[0, 1]) < 0.2


def test_hair_grows_on_the_crown_and_not_on_the_face() -> None:
    crown, brow, nose, nape = [0, -0.10, 0.08], [0.03, -0.02, -0.01], [0, 0.04, -0.04], [0, 0.03, 0.15]
    height = above_hairline(np.array([crown, brow, nose, nape]))
    assert height[0] > 0.02 and height[3] > 0 and (height[1:3] < -0.03).all()


def test_ribbons_follow_their_paths_and_taper() -> None:
    paths = np.stack([np.zeros(6), -np.linspace(0, 0.05, 6), np.full(6, -0.1)], 1)[None]
    ribbons = make_ribbons(paths, np.array([0.001]), np.array([1.0]), np.zeros(3))
    columns = ribbons.vertices.reshape(6, 2, 3)
    np.testing.assert_allclose(columns.mean(1), paths[0], atol=1e-9)
    width = np.linalg.norm(columns[:, 1] - columns[:, 0], axis=1)
    assert width[0] == pytest.approx(0.002) and (np.diff(width) < 0).all()
    assert ribbons.shape == (1, 6) and len(ribbons.triangles) == 10


def test_the_shirt_lies_outside_the_skin_and_ends_at_the_neckline() -> None:
    turn, height = np.meshgrid(np.arange(60) * 2 * np.pi / 60, np.linspace(0.05, 0.35, 40))
    vertices = np.stack([0.07 * np.sin(turn), height, 0.06 - 0.07 * np.cos(turn)], -1).reshape(-1, 3)
    index = np.arange(len(vertices)).reshape(40, 60)
    a, b, c, d = index[:-1], np.roll(index, -1, 1)[:-1], np.roll(index, -1, 1)[1:], index[1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (a, d, c))]).astype(np.int32)
    normals = vertex_normals(vertices, triangles)
    assert (normals[:, [0, 2]] * (vertices - [0, 0, 0.06])[:, [0, 2]]).sum(1).min() > 0
    shirt = make_shirt(vertices, triangles, np.ones(len(vertices), bool))
    cloth = shirt.matrix @ vertices + shirt.distance[:, None] * (shirt.matrix @ normals)
    reach = np.hypot(cloth[:, 0], cloth[:, 2] - 0.06)
    assert reach[~shirt.collar].min() > 0.0725
    assert below_neckline(shirt.matrix @ vertices)[~shirt.collar].min() > -1e-9
    assert 0.3 < shirt.covered.mean() < 0.8


def test_every_palette_is_used_and_colours_are_colours() -> None:
    looks = [look_of_seed(seed) for seed in range(6)]
    assert len({look.hair for look in looks}) == 3 and len({tuple(look.identity.items()) for look in looks}) == 6
    for look in [*looks, ActorLook()]:
        for colour in (look.skin, look.lips, look.hair, look.iris, look.shirt, look.wall):
            assert len(colour) == 3 and all(0 < value < 1 for value in colour)
