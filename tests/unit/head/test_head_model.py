from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaussavatar.errors import UserError
from gaussavatar.head.model import (
    HeadModel,
    load_head,
    pose_vertices,
    save_head,
    select_vertices,
    validate_head,
)
from gaussavatar.motion.rotations import rotation_matrices


@pytest.fixture(scope="module")
def tiny() -> HeadModel:
    """A random head of 30 vertices with every optional part."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    weights = random.uniform(size=(30, 4)).astype(np.float32)
    model = HeadModel(
        name="tiny",
        template=normal(30, 3),
        triangles=random.integers(0, 30, (40, 3)).astype(np.int32),
        identity=normal(5, 30, 3),
        identity_names=tuple("abcde"),
        expression=normal(3, 30, 3),
        expression_names=("jawOpen", "x", "y"),
        joint_names=("root", "neck", "jaw", "eye"),
        joint_parents=(-1, 0, 1, 1),
        joint_positions=normal(4, 3),
        joint_identity=normal(5, 4, 3),
        joint_expression=0.1 * normal(3, 4, 3),
        skin_weights=weights / weights.sum(1, keepdims=True),
        regions=np.zeros(30, np.uint8),
        pose_correctives=0.1 * normal(27, 30, 3),
    )
    validate_head(model)
    return model


def zeros(model: HeadModel, frames: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    kind = {"dtype": torch.float64}
    return (
        torch.zeros(1, len(model.identity_names), **kind),
        torch.zeros(frames, len(model.expression_names), **kind),
        torch.zeros(frames, len(model.joint_names), 3, **kind),
    )


def test_zero_parameters_give_the_template_with_and_without_joints(tiny: HeadModel) -> None:
    identity, expression, joints = zeros(tiny, 2)
    for rotations in (None, joints):
        vertices = pose_vertices(tiny, identity, expression, rotations)
        assert vertices.shape == (2, 30, 3)
        np.testing.assert_allclose(vertices, np.stack([tiny.template] * 2), atol=1e-6)


def test_weights_are_linear_and_named(tiny: HeadModel) -> None:
    identity, expression, _ = zeros(tiny)
    row = torch.tensor(tiny.expression_row(x=2.0, jawOpen=-1.0), dtype=torch.float64)[None]
    moved = pose_vertices(tiny, identity + torch.tensor(tiny.identity_row(c=0.5)), expression + row)
    expected = tiny.template + 0.5 * tiny.identity[2] + 2 * tiny.expression[1] - tiny.expression[0]
    np.testing.assert_allclose(moved[0], expected, atol=1e-5)


def test_turning_the_root_turns_everything_around_its_joint(tiny: HeadModel) -> None:
    plain = replace(tiny, pose_correctives=None)
    identity, expression, joints = zeros(plain)
    joints[:, 0] = torch.tensor([0.3, -0.8, 0.5])
    moved = pose_vertices(plain, identity, expression, joints, torch.tensor([[1.0, 2.0, 3.0]]))[0].numpy()
    R = rotation_matrices(joints[0, 0]).numpy()
    pivot = plain.joint_positions[0]
    np.testing.assert_allclose(moved, (plain.template - pivot) @ R.T + pivot + [1, 2, 3], atol=1e-5)


def test_a_vertex_of_one_joint_follows_the_chain_of_its_parents(tiny: HeadModel) -> None:
    rigid = replace(tiny, pose_correctives=None, skin_weights=np.eye(4, dtype=np.float32)[[2] * 30])
    identity, expression, joints = zeros(rigid)
    joints[0] = torch.tensor(np.random.default_rng(1).normal(size=(4, 3)))
    moved = pose_vertices(rigid, identity, expression, joints)[0].numpy()
    expected = rigid.template.astype(np.float64)
    for joint in (2, 1, 0):
        R = rotation_matrices(joints[0, joint]).numpy()
        expected = (expected - rigid.joint_positions[joint]) @ R.T + rigid.joint_positions[joint]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_frames_are_independent_and_identity_may_be_shared(tiny: HeadModel) -> None:
    random = torch.Generator().manual_seed(0)
    identity = torch.randn(1, 5, generator=random)
    expression, joints = torch.randn(4, 3, generator=random), 0.5 * torch.randn(4, 4, 3, generator=random)
    together = pose_vertices(tiny, identity, expression, joints)
    for frame in range(4):
        alone = pose_vertices(tiny, identity, expression[frame : frame + 1], joints[frame : frame + 1])
        torch.testing.assert_close(together[frame : frame + 1], alone, atol=1e-5, rtol=1e-5)
    still = pose_vertices(tiny, identity, expression, joints[:1])
    torch.testing.assert_close(still[0], together[0], atol=1e-5, rtol=1e-5)


def test_gradients_match_finite_differences(tiny: HeadModel) -> None:
    random = torch.Generator().manual_seed(3)
    arguments = [
        torch.randn(*shape, generator=random, dtype=torch.float64, requires_grad=True)
        for shape in ((1, 5), (2, 3), (2, 4, 3), (2, 3))
    ]
    small = select_vertices(tiny, np.arange(4))
    assert torch.autograd.gradcheck(lambda *values: pose_vertices(small, *values), arguments)


def test_gradient_at_zero_rotation_is_finite_and_right() -> None:
    vector = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_matrices, vector, eps=1e-6, atol=1e-6)


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3))
@settings(max_examples=50, deadline=None)
def test_rotation_matrices_are_rotations_by_their_angle(vector: list[float]) -> None:
    axis_angle = torch.tensor(vector, dtype=torch.float64)
    R = rotation_matrices(axis_angle)
    torch.testing.assert_close(R @ R.T, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones((), dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(R @ axis_angle, axis_angle, atol=1e-8, rtol=0)
    angle = float(axis_angle.norm())
    assert float(torch.trace(R)) == pytest.approx(1 + 2 * np.cos(angle), abs=1e-7)


def test_a_saved_head_comes_back_the_same(tiny: HeadModel, tmp_path) -> None:
    save_head(tmp_path / "head.npz", tiny)
    back = load_head(tmp_path / "head.npz")
    assert back.joint_parents == tiny.joint_parents and back.expression_names == tiny.expression_names
    np.testing.assert_array_equal(back.pose_correctives, tiny.pose_correctives)
    assert back.embedding is None and back.colour is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_a_damaged_head_file_is_a_user_error(content: bytes, tmp_path) -> None:
    path = tmp_path / "head.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="head"):
        load_head(path)


def test_pickled_objects_in_a_head_file_are_refused(tmp_path) -> None:
    path = tmp_path / "head.npz"
    np.savez(path, name=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError):
        load_head(path)


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(
    "change",
    [
        {"joint_parents": (-1, 2, 1, 1)},
        {"skin_weights": np.ones((30, 4), np.float32)},
        {"triangles": np.full((2, 3), 30, np.int32)},
        {"template": np.full((30, 3), np.nan, np.float32)},
        {"expression": np.zeros((3, 29, 3), np.float32)},
    ],
)
def test_heads_that_cannot_be_used_are_refused(tiny: HeadModel, change: dict) -> None:
    with pytest.raises(UserError):
        validate_head(replace(tiny, **change))
