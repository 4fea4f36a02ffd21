"""The landmark embedding's table of the outline: what it says, that it survives cutting and files, and old files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.embedding import SLIDING, _fill_from_front, camera_yaw
from gaussavatar.head.model import HeadModel, LandmarkEmbedding, landmark_head, load_head, save_head
from gaussavatar.landmarks.indices import MIRROR
from gaussavatar.tracking.poses.rotations import exp_rotation


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head()


def table(head: HeadModel) -> tuple[LandmarkEmbedding, np.ndarray, np.ndarray]:
    """The embedding, its yaws in degrees, and the outline's points (yaw, landmark, 3) with rows by landmark."""
    embedding = head.embedding
    assert embedding is not None and embedding.contour is not None
    assert embedding.contour_face is not None and embedding.contour_barycentrics is not None
    corners = head.template[head.triangles[embedding.contour_face]]
    points = np.zeros((len(embedding.contour_face), 478, 3))
    points[:, embedding.contour] = (embedding.contour_barycentrics[..., None] * corners).sum(2)
    return embedding, np.rad2deg(np.asarray(embedding.contour_yaw)), points


def test_the_far_sides_outline_comes_forward_and_the_near_side_stays(head: HeadModel) -> None:
    embedding, yaws, points = table(head)
    assert embedding.contour is not None and set(embedding.contour) <= set(SLIDING) and len(embedding.contour) > 20
    assert (np.diff(yaws) > 0).all()
    right, left = yaws.argmin(), yaws.argmax()
    # Where the camera stands at +x, the person's left, the outline of the right side lies further in front.
    assert points[left, 234, 2] < points[right, 234, 2] - 0.03
    assert points[right, 454, 2] < points[left, 454, 2] - 0.03
    front = np.abs(yaws).argmin()
    assert np.linalg.norm(points[left, 454] - points[front, 454]) < 0.03


def test_the_table_is_its_own_mirror_image(head: HeadModel) -> None:
    embedding, _, points = table(head)
    assert embedding.contour is not None
    mirrored = points[::-1][:, MIRROR] * [-1, 1, 1]
    assert np.abs(mirrored - points)[:, embedding.contour].max() < 2e-3


def test_the_cameras_yaw_is_positive_on_the_persons_left() -> None:
    R = exp_rotation(np.array([[0.0, 0.3, 0.0], [0.0, 0.0, 0.0], [0.2, -0.1, 0.0]]))
    t = np.tile([0.0, 0.0, 0.7], (3, 1))
    yaw = camera_yaw(R, t)
    assert yaw[0] == pytest.approx(0.3) and yaw[1] == 0 and yaw[2] < 0
    # The nearer side of a head whose camera stands at +x is +x.
    sides = np.array([[0.07, 0, 0], [-0.07, 0, 0]]) @ R[0].T + t[0]
    assert sides[0, 2] < sides[1, 2]


def test_seen_from_a_side_the_embedding_is_that_rows(head: HeadModel) -> None:
    embedding, yaws, points = table(head)
    turned = embedding.seen_from(float(np.deg2rad(26)))
    row = np.abs(yaws - 26).argmin()
    assert turned.contour is None and embedding.contour is not None and embedding.contour_face is not None
    assert np.array_equal(turned.face[embedding.contour], embedding.contour_face[row])
    others = np.setdiff1d(np.arange(478), embedding.contour)
    assert np.array_equal(turned.face[others], embedding.face[others])


def test_a_cut_head_keeps_the_whole_table(head: HeadModel) -> None:
    small = landmark_head(head)
    assert len(small.template) < len(head.template)
    _, _, whole = table(head)
    _, _, cut = table(small)
    assert np.allclose(cut, whole, atol=1e-6)


def test_files_with_and_without_the_table_are_read(head: HeadModel, tmp_path: Path) -> None:
    save_head(tmp_path / "new.npz", head)
    back = load_head(tmp_path / "new.npz")
    assert back.embedding is not None and head.embedding is not None
    assert np.array_equal(np.asarray(back.embedding.contour_face), np.asarray(head.embedding.contour_face))
    plain = replace(head, embedding=head.embedding.seen_from(0.0))
    save_head(tmp_path / "old.npz", plain)
    with np.load(tmp_path / "old.npz") as file:
        assert not any("contour" in name for name in file.files)
    old = load_head(tmp_path / "old.npz").embedding
    assert old is not None and old.contour is None and np.array_equal(old.face, plain.embedding.face)  # type: ignore[union-attr]


def test_what_no_view_shows_is_taken_from_towards_the_front() -> None:
    places, seen = np.zeros((11, 2, 3)), np.zeros((11, 2), bool)
    places[5:9, 0, 0], seen[5:9, 0] = [1, 2, 3, 4], True
    filled, known = _fill_from_front(places, seen)
    assert filled[:, 0, 0].tolist() == [1, 1, 1, 1, 1, 1, 2, 3, 4, 4, 4]
    assert known[:, 0].all() and not known[:, 1].any()
