"""A head model is put on the person's landmarks and wrapped through them without dents, folds or crossed lips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.landmarks.indices import FACE_OVAL, LIPS_INNER, LIPS_OUTER
from gaussavatar.tracking.head.field import SkinField, cotangent_laplacian, local_linear, parts_of
from gaussavatar.tracking.head.identity import (
    Placement,
    calm_face,
    embedding_matrix,
    fit_similarity,
    landmark_trust,
    part_lips,
    place_head,
)
from gaussavatar.tracking.head.wrap import WrappedHead, folded_share, place_model, wrap_head
from gaussavatar.tracking.poses.rotations import exp_rotation

from .head_clips import HeadClip, make_head_clip, plain_head

LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)


@pytest.fixture(scope="module")
def clip() -> HeadClip:
    return make_head_clip()


@pytest.fixture(scope="module")
def field() -> SkinField:
    head = plain_head()
    trust = landmark_trust(head.embedding)
    return SkinField(head, trust, trust, 0.0025)


def inner() -> np.ndarray:
    return np.setdiff1d(np.arange(468), FACE_OVAL)


def test_a_similarity_is_found_exactly_from_weighted_points() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(30, 3))
    R = exp_rotation(np.array([0.3, -0.5, 0.2]))
    target = 1.3 * source @ R.T + [0.1, 0.2, -0.4]
    target[5] += 10
    weights = np.ones(30)
    weights[5] = 0
    scale, found, shift = fit_similarity(source, target, weights)
    assert scale == pytest.approx(1.3) and np.allclose(found, R) and np.allclose(shift, [0.1, 0.2, -0.4])


def test_placing_recovers_where_a_known_person_is(clip: HeadClip) -> None:
    place = place_head(plain_head(), clip.rest)
    placed = embedding_matrix(place_model(plain_head(), place).template, plain_head())
    miss = np.linalg.norm(placed - clip.rest, axis=1)[inner()]
    assert np.median(miss) < 0.0008 and place.scale == pytest.approx(clip.scale, rel=0.03)
    assert np.abs(place.expression).max() < 0.25


def test_the_calm_face_has_closed_lips_and_open_eyes_though_the_median_has_not(clip: HeadClip) -> None:
    talking = replace(clip.tracking, shape=clip.tracking.shape, codes=clip.tracking.codes)
    calm = calm_face(talking)
    assert np.linalg.norm(calm - clip.rest, axis=1)[[13, 14, 159, 145, 386, 374]].max() < 0.002


def test_parted_lips_meet_in_the_middle_and_open_ones_are_left_alone() -> None:
    points = np.zeros((478, 3))
    points[14, 1], points[13, 1] = -0.001, 0.001
    points[87, 1] = 0.004
    parted = part_lips(points)
    assert parted[14, 1] - parted[13, 1] == pytest.approx(2e-4) and parted[87, 1] == pytest.approx(0.004, abs=1e-4)


def test_the_cotangent_laplacian_kills_linear_functions_inside_a_plane() -> None:
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2) + 0.0
    index = np.arange(36).reshape(6, 6)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    places = np.c_[grid, np.zeros(36)]
    stiffness, areas = cotangent_laplacian(places, faces)
    inside = index[1:-1, 1:-1].ravel()
    # Right angles have a cotangent of zero, which is clipped a little above it.
    assert np.abs((stiffness @ (2 * grid[:, 0] - grid[:, 1]))[inside]).max() < 0.15
    assert areas.sum() == pytest.approx(25)


def test_the_field_follows_its_handles_and_fades_to_the_back_of_the_skull(field: SkinField) -> None:
    head = plain_head()
    moves = np.zeros((478, 3))
    moves[:, 0] = 0.004
    moved = field.extend(moves)
    at = embedding_matrix(moved, head)
    assert np.abs(at[inner(), 0] - 0.004).max() < 0.001
    back = head.region("scalp", "torso") & (head.template[:, 2] > 0.08)
    assert np.abs(moved[back]).max() < 6e-4
    several = field.extend(np.stack([moves, 2 * moves]))
    assert np.allclose(several[1], 2 * moved, atol=1e-7)


def test_the_lower_lip_does_not_drag_the_upper_one(field: SkinField) -> None:
    moves = np.zeros((478, 3))
    moves[list(LOWER_LIP), 1] = 0.005
    at = embedding_matrix(field.extend(moves), plain_head())
    assert at[[14, 17, 87], 1].min() > 0.004 and np.abs(at[[13, 0, 82], 1]).max() < 0.0008


def test_local_stretch_is_found_where_handles_are_and_fades_where_none_are() -> None:
    rng = np.random.default_rng(0)
    handles = rng.uniform(-0.05, 0.05, (400, 3))
    moves = handles * [0.2, 0.0, -0.1]
    near, far = local_linear(handles, moves, np.ones(400), np.array([[0.0, 0, 0], [0.5, 0, 0]]), 0.02)
    assert near[0, 0] == pytest.approx(1.18, abs=0.03) and near[2, 2] == pytest.approx(0.91, abs=0.03)
    assert np.allclose(far, np.eye(3), atol=1e-6)


def wrapped(target: np.ndarray) -> tuple[Placement, WrappedHead]:
    place = place_head(plain_head(), target)
    return place, wrap_head(plain_head(), place, target)


def test_the_wrapped_face_goes_through_the_landmarks_without_folds(clip: HeadClip) -> None:
    rng = np.random.default_rng(2)
    # A smooth change that no identity slider makes: the face leans to one side.
    target = clip.rest + np.c_[0.06 * clip.rest[:, 1] ** 2 / 0.05, 0 * clip.rest[:, 0], 0 * clip.rest[:, 0]]
    target = part_lips(target + rng.normal(0, 1e-4, target.shape))
    place, result = wrapped(target)
    unwarped = embedding_matrix(place_model(plain_head(), place).template, plain_head())
    before = np.linalg.norm((unwarped - target)[inner(), :2], axis=1)
    assert np.percentile(result.miss[inner()], 95) < 0.0006 < np.percentile(before, 95)
    assert result.folded == 0


def test_a_landmark_gone_astray_does_not_dent_the_skin(clip: HeadClip) -> None:
    _, good = wrapped(clip.rest)
    target = clip.rest.copy()
    target[[50, 280]] += [0.0, 0.02, 0.0]
    _, bad = wrapped(target)
    assert np.linalg.norm(bad.head.template - good.head.template, axis=1).max() < 0.003


def test_eyeballs_stay_spheres_that_no_expression_moves_and_teeth_stay_behind_the_lips(clip: HeadClip) -> None:
    target = clip.rest.copy()
    target[[*LIPS_INNER, *LIPS_OUTER], 0] *= 1.2
    _, result = wrapped(target)
    head = result.head
    for side in ("left", "right"):
        ball = head.template[head.region(f"eyeball_{side}")].astype(np.float64)
        centre, radius = fit_sphere(ball)
        assert np.abs(np.linalg.norm(ball - centre, axis=1) - radius).max() < 1e-5
        assert np.allclose(centre, head.joint_positions[head.joint_names.index(f"eye_{side}")], atol=5e-4)
        assert np.abs(head.expression[:, head.region(f"eyeball_{side}")]).max() == 0
    lips = embedding_matrix(head.template, head)[[13, 14, 0, 17]]
    teeth = head.template[head.region("teeth_upper", "teeth_lower")]
    assert teeth[:, 2].min() > lips[:, 2].min() + 0.004
    assert (
        head.template[head.region("teeth_upper"), 1].max()
        > lips[0, 1]
        > head.template[head.region("teeth_upper"), 1].min()
    )


def test_a_wider_mouth_opens_wider_and_a_full_blink_closes_the_eye(clip: HeadClip) -> None:
    target = clip.rest.copy()
    for upper, lower in ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)):
        target[upper, 1] -= 0.0015
        target[lower, 1] += 0.0015
    _, result = wrapped(target)
    head = result.head
    opened = embedding_matrix(head.template, head)
    shut = opened + sum(
        embedding_matrix(head.expression[head.expression_names.index(f"eyeBlink{side}")], head)
        for side in ("Left", "Right")
    )
    for upper, lower in ((159, 145), (386, 374)):
        assert opened[lower, 1] - opened[upper, 1] > 0.010
        assert shut[lower, 1] - shut[upper, 1] < 0.25 * (opened[lower, 1] - opened[upper, 1])


def test_correctives_turn_with_the_head() -> None:
    """Posing and then placing a head is placing it and then posing it with the rotations seen from there."""
    import torch

    from gaussavatar.head.model import pose_vertices

    head = plain_head()
    n_joints = len(head.joint_names)
    correctives = np.random.default_rng(0).normal(0, 0.01, (9 * (n_joints - 1), len(head.template), 3))
    head = replace(head, pose_correctives=correctives.astype(np.float32))
    R = exp_rotation(np.array([0.2, -0.1, 0.15]))
    place = Placement(
        1.2, R, np.array([0.01, 0.02, 0.03]), np.zeros(len(head.identity)), np.zeros(len(head.expression))
    )
    turns = np.random.default_rng(1).normal(0, 0.2, (1, n_joints, 3))
    still, free = torch.zeros(1, len(head.expression)), torch.zeros(1, len(head.identity))
    posed = pose_vertices(head, free, still, torch.tensor(turns, dtype=torch.float32))[0].numpy()
    placed = place_model(head, place)
    seen = pose_vertices(placed, torch.zeros(1, 0), still, torch.tensor(turns @ R.T, dtype=torch.float32))[0].numpy()
    assert np.abs(1.2 * posed @ R.T + place.t - seen).max() < 2e-5


def test_parts_that_are_not_connected_have_different_numbers() -> None:
    head = plain_head()
    parts = parts_of(head)
    assert parts[head.region("eyeball_left")].min() != parts[head.region("eyeball_right")].min()
    assert len(np.unique(parts[head.region("eyeball_left")])) == 1


def test_folds_are_counted() -> None:
    head = plain_head()
    turned = head.template.copy()
    turned[:, 0] *= -1
    assert folded_share(head, head.template) == 0 and folded_share(head, turned) > 0.5
