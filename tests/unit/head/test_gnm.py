from __future__ import annotations

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.head.formats.flame import AXES
from gaussavatar.head.formats.gnm import gnm_head, with_opening
from gaussavatar.head.install import _finish
from gaussavatar.head.model import HeadModel, pose_vertices, validate_head
from gaussavatar.head.safe.checks import check_gnm
from gaussavatar.motion.rotations import rotation_matrices
from tests.unit.head.synthetic_heads import gnm_arrays


@pytest.fixture(scope="module")
def converted() -> tuple[HeadModel, np.ndarray]:
    return gnm_head(check_gnm(gnm_arrays()), "gnm")


def gnm_oracle(identity: np.ndarray, expression: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """What GNM's documentation says of its vertices, in its own space, in float64."""
    a = gnm_arrays()
    vertices = a["template_vertex_positions"].astype(np.float64)
    vertices = vertices + np.einsum("i,ivc->vc", identity, a["vertex_identity_basis"])
    vertices = vertices + np.einsum("e,evc->vc", expression, a["expression_basis"])
    joints = a["template_joint_positions"] + np.einsum("i,ijc->jc", identity, a["joint_identity_basis"])
    turns = rotation_matrices(torch.from_numpy(pose)).numpy()
    features = (turns - np.eye(3)).ravel()
    vertices = vertices + (features @ a["pose_correctives_regressor"]).reshape(-1, 3)
    world = []
    for joint, parent in enumerate(a["joint_parent_indices"]):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if joint else 0)
        world.append(world[parent] @ local if joint else local)
    moved = [(vertices - joint) @ matrix[:3, :3].T + matrix[:3, 3] for joint, matrix in zip(joints, world, strict=True)]
    return np.einsum("jv,jvc->vc", a["skinning_weights"], np.stack(moved))


def test_posing_the_head_is_posing_gnm(converted: tuple[HeadModel, np.ndarray]) -> None:
    head, T_source_template = converted
    validate_head(head)
    assert head.joint_names == ("root", "neck", "head", "eye_left", "eye_right")
    random = np.random.default_rng(1)
    identity, expression, pose = random.normal(size=6), 0.3 * random.normal(size=52), 0.3 * random.normal(size=(4, 3))
    expected = gnm_oracle(identity, expression, pose)
    turns = np.concatenate([np.zeros((1, 3)), pose * AXES])
    ours = pose_vertices(head, *(torch.from_numpy(part)[None] for part in (identity, expression, turns)))[0].numpy()
    in_source_space = ours @ T_source_template[:3, :3].T + T_source_template[:3, 3]
    assert np.abs(in_source_space - expected).max() < 1e-5
    # The root joint's correctives count: without them the two would differ.
    assert np.abs(gnm_arrays()["pose_correctives_regressor"][:9]).max() > 1e-5


def test_a_mouth_is_opened_without_a_name_for_it(converted: tuple[HeadModel, np.ndarray]) -> None:
    head = with_opening(converted[0])
    assert head.expression_names[-1] == "jawOpen" and len(head.expression_names) == 53
    opening = head.expression[-1][:, 1]
    assert opening[head.region("teeth_lower")].mean() > 0.008
    assert np.abs(opening[head.region("teeth_upper")]).mean() < 0.002
    assert with_opening(head) is head


def test_regions_and_landmarks(converted: tuple[HeadModel, np.ndarray]) -> None:
    head = _finish(converted[0], "gnm")
    assert len(head.expression_names) == 52, "the helping shape is gone"
    assert head.embedding is not None and (head.embedding.confidence > 0).sum() > 440
    for name in ("lips", "ear", "scalp", "neck", "teeth_upper", "teeth_lower", "eyeball_left", "tongue"):
        assert head.region(name).sum() > 50, name
    assert head.template[head.region("eyeball_left")][:, 0].min() > 0


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("skinning_weights", lambda a: a * 2, "sum to 1"),
        ("triangles", lambda a: a + 10**6, "triangles of vertices"),
        ("joint_parent_indices", lambda a: np.array([0, 2, 1, 1]), "parents precede"),
        ("expression_basis", lambda a: a[:, :5], "expression_basis of shape"),
        ("vertex_identity_basis", lambda a: a * np.nan, "finite values"),
        ("pose_correctives_regressor", lambda a: a[:9], "pose_correctives_regressor of shape"),
        ("template_vertex_positions", lambda a: a * 100, "m high"),
    ],
)
def test_what_is_no_gnm_is_said(key: str, change, message: str) -> None:
    values = gnm_arrays()
    with pytest.raises(UserError, match=message):
        check_gnm({**values, key: change(values[key])})


def test_eyes_are_needed() -> None:
    values = gnm_arrays()
    values["vertex_group_names"] = np.array(
        [str(name).replace("_eye", "_ear") for name in values["vertex_group_names"]]
    )
    with pytest.raises(UserError, match="left_eye"):
        gnm_head(check_gnm(values), "gnm")
