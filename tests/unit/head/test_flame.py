from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.head.formats.flame import AXES, find_eyeballs, flame_head
from gaussavatar.head.install import _finish
from gaussavatar.head.model import HeadModel, pose_vertices, validate_head
from gaussavatar.head.safe.checks import check_flame
from gaussavatar.head.safe.unpickle import read_pickle
from gaussavatar.mesh.components import component_labels
from gaussavatar.motion.rotations import rotation_matrices
from tests.unit.head.synthetic_flame import flame_arrays, write_synthetic_flame


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return check_flame(flame_arrays())


@pytest.fixture(scope="module")
def plain(arrays: dict[str, np.ndarray]) -> tuple[HeadModel, np.ndarray]:
    return flame_head(arrays, "flame")


@pytest.fixture(scope="module")
def finished(plain: tuple[HeadModel, np.ndarray]) -> HeadModel:
    return _finish(plain[0], "flame")


def flame_oracle(
    arrays: dict[str, np.ndarray], shape: torch.Tensor, expression: torch.Tensor, pose: torch.Tensor
) -> torch.Tensor:
    """FLAME's equations in its own space, one frame, float64, homogeneous matrices, no code of the package."""
    a = {key: torch.from_numpy(value) for key, value in arrays.items()}
    coefficients = torch.cat([shape, expression])
    shaped = a["v_template"] + a["shapedirs"] @ coefficients
    joints = a["J_regressor"] @ shaped
    turns = torch.linalg.matrix_exp(
        torch.stack([torch.stack([0 * x, -z, y, z, 0 * x, -x, -y, x, 0 * x]).reshape(3, 3) for x, y, z in pose])
    )
    features = (turns[1:] - torch.eye(3, dtype=torch.float64)).reshape(-1)
    posed = shaped + a["posedirs"] @ features
    world: list[torch.Tensor] = []
    for joint, parent in enumerate(arrays["parents"]):
        local = torch.eye(4, dtype=torch.float64)
        offset = joints[joint] - (joints[parent] if parent >= 0 else 0)
        local = torch.cat([torch.cat([turns[joint], offset[:, None]], 1), local[3:]])
        world.append(local if parent < 0 else world[parent] @ local)
    vertices = torch.zeros_like(posed)
    for joint in range(5):
        moved = (posed - joints[joint]) @ world[joint][:3, :3].T + world[joint][:3, 3]
        vertices = vertices + a["weights"][:, joint : joint + 1] * moved
    return vertices


def random_parameters(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    return normal(300), normal(100), 0.3 * normal(5, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_posing_the_head_is_posing_flame(
    arrays: dict[str, np.ndarray], plain: tuple[HeadModel, np.ndarray], seed: int, dtype: torch.dtype
) -> None:
    head, T_source_template = plain
    shape, expression, pose = random_parameters(seed)
    expected = flame_oracle(arrays, shape, expression, pose).numpy()
    ours = pose_vertices(
        head, shape[None].to(dtype), expression[None].to(dtype), (pose * torch.from_numpy(AXES))[None].to(dtype)
    )[0]
    assert ours.dtype == dtype
    in_flame_space = ours.double().numpy() @ T_source_template[:3, :3].T + T_source_template[:3, 3]
    assert np.abs(in_flame_space - expected).max() < 1e-5
    # The comparison has something to find: correctives, expression-driven joints and turns all matter.
    assert np.abs(expected - arrays["v_template"]).max() > 0.02


def test_pose_correctives_and_joints_of_the_expression_count(
    arrays: dict[str, np.ndarray], plain: tuple[HeadModel, np.ndarray]
) -> None:
    head, T_source_template = plain
    shape, expression, pose = random_parameters(3)
    expected = flame_oracle(arrays, shape, expression, pose).numpy()
    turns = (pose * torch.from_numpy(AXES))[None]
    for part in ("pose_correctives", "joint_expression"):
        without = replace(head, **{part: None})
        moved = pose_vertices(without, shape[None], expression[None], turns)[0].numpy()
        assert np.abs(moved @ T_source_template[:3, :3].T + T_source_template[:3, 3] - expected).max() > 2e-5, part


def test_posing_is_differentiable_in_every_parameter(plain: tuple[HeadModel, np.ndarray]) -> None:
    head, _ = plain
    parameters = [
        torch.zeros(2, count, 3, dtype=torch.float64, requires_grad=True)
        if count == 5
        else torch.zeros(2, count, dtype=torch.float64, requires_grad=True)
        for count in (300, 100, 5)
    ]

    def distance() -> torch.Tensor:
        # A sum of squares would have no slope at rest.
        return (pose_vertices(head, *parameters) * torch.linspace(-1, 1, 3, dtype=torch.float64)).sum()

    distance().backward()
    for parameter in parameters:
        gradient = parameter.grad
        assert gradient is not None and torch.isfinite(gradient).all()
        index = tuple(int(i) for i in np.unravel_index(int(gradient.abs().argmax()), gradient.shape))
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[index] += step
                values.append(float(distance()))
                parameter[index] -= step
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient[index]), rel=1e-4)


def test_head_space_lies_between_the_eyes(plain: tuple[HeadModel, np.ndarray]) -> None:
    head, T_source_template = plain
    assert head.joint_names == ("root", "neck", "jaw", "eye_left", "eye_right")
    left, right = (head.joint_positions[head.joint_names.index(name)] for name in ("eye_left", "eye_right"))
    np.testing.assert_allclose((left + right) / 2, 0, atol=2e-4)
    assert left[0] > 0.02 and right[0] < -0.02
    assert head.template[head.region("eyeball_left")][:, 0].mean() > 0
    nose = head.template[head.template[:, 2].argmin()]
    assert nose[2] < -0.02 and 0.01 < nose[1] < 0.08
    assert len(head.identity_names) == 300 and len(head.expression_names) == 100
    np.testing.assert_allclose(np.abs(np.linalg.det(T_source_template[:3, :3])), 1)


@pytest.mark.parametrize(("protocol", "python2"), [*((protocol, False) for protocol in range(6)), (1, True), (2, True)])
def test_every_pickle_protocol_is_read_exactly(tmp_path: Path, protocol: int, python2: bool) -> None:
    path = write_synthetic_flame(tmp_path / "flame.pkl", protocol, chumpy=protocol != 4, python2=python2)
    read = check_flame(read_pickle(path.read_bytes()))
    expected = check_flame(flame_arrays())
    for key, array in expected.items():
        np.testing.assert_array_equal(read[key], array, err_msg=key)


def test_regions_are_where_a_face_has_them(finished: HeadModel) -> None:
    validate_head(finished)
    height = {name: finished.template[finished.region(name)] for name in ("lips", "ear", "scalp", "neck", "torso")}
    assert all(len(points) > 20 for points in height.values()), {key: len(value) for key, value in height.items()}
    assert 0.04 < height["lips"][:, 1].mean() < 0.09 and height["lips"][:, 2].max() < 0.02
    assert height["scalp"][:, 1].mean() < 0 < height["ear"][:, 1].mean() < height["neck"][:, 1].mean()
    assert height["neck"][:, 1].mean() < height["torso"][:, 1].mean()
    # Both sides alike: the head is symmetric.
    for name in ("ear", "neck", "lips"):
        left, right = (height[name][:, 0] > 1e-3).sum(), (height[name][:, 0] < -1e-3).sum()
        assert abs(int(left) - int(right)) <= 0.1 * (left + right), name
    built_in_ears = np.abs(height["ear"][:, 0])
    assert built_in_ears.min() > 0.05


def test_teeth_are_added_behind_the_lips_and_move_with_their_jaws(finished: HeadModel) -> None:
    upper, lower = finished.region("teeth_upper"), finished.region("teeth_lower")
    lips = finished.template[finished.region("lips")]
    assert upper.sum() > 500 and lower.sum() == upper.sum()
    front = lips[:, 2].min()
    for teeth in (upper, lower):
        assert front < finished.template[teeth][:, 2].min() < front + 0.02
        assert not finished.expression[:, teeth].any()
        moved = finished.identity[:, teeth]
        np.testing.assert_allclose(moved, moved[:, :1].repeat(teeth.sum(), 1), atol=1e-7)
    np.testing.assert_allclose(
        finished.identity[:, upper][:, 0], finished.identity[:, finished.region("lips")].mean(1), atol=1e-6
    )
    turns = torch.zeros(1, 5, 3)
    turns[0, finished.joint_names.index("jaw"), 0] = 0.3
    opened = pose_vertices(finished, torch.zeros(1, 300), torch.zeros(1, 100), turns)[0].numpy()
    drop = (opened - finished.template)[:, 1]
    assert np.abs(drop[upper]).max() < 1e-6 and drop[lower].min() > 0.005
    skull = torch.zeros(1, 5, 3)
    skull[0, 1, 1] = 0.5
    turned = pose_vertices(finished, torch.zeros(1, 300), torch.zeros(1, 100), skull)[0].numpy()
    R = rotation_matrices(torch.tensor([0.0, 0.5, 0.0])).numpy()
    joint = finished.joint_positions[1]
    for teeth in (upper, lower):
        rigid = (finished.template[teeth] - joint) @ R.T + joint
        np.testing.assert_allclose(turned[teeth], rigid, atol=2e-6)


def test_the_detector_finds_the_face_and_places_lips_and_eyes(finished: HeadModel) -> None:
    embedding = finished.embedding
    assert embedding is not None and (embedding.confidence > 0).sum() > 450
    points = (embedding.barycentrics[..., None] * finished.template[finished.triangles[embedding.face]]).sum(1)
    assert np.linalg.norm(points[1] - finished.template[finished.template[:, 2].argmin()]) < 0.015
    assert points[473, 0] > 0.02 and points[468, 0] < -0.02
    regions = finished.regions[finished.triangles[embedding.face]]
    lips = [0, 17, 61, 291, 13, 14]
    assert np.isin(regions[lips], np.unique(finished.regions[finished.region("lips")])).mean() > 0.6


def test_a_head_without_eyeballs_is_refused(arrays: dict[str, np.ndarray]) -> None:
    triangles = arrays["f"][(arrays["f"] < 3931).all(1)]
    labels = component_labels(triangles, 5023)
    with pytest.raises(UserError, match="two eyeballs"):
        find_eyeballs(arrays["v_template"], triangles, labels)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("weights", lambda a: a * 1.1, "weights that sum to 1"),
        ("J_regressor", lambda a: a * 0.9, "J_regressor that sum to 1"),
        ("f", lambda a: a + 60, "triangles of vertices"),
        ("v_template", lambda a: a * 1000, "m high"),
        ("v_template", lambda a: np.where(np.arange(len(a))[:, None] == 5, np.nan, a), "finite values in v_template"),
        ("kintree_table", lambda a: a[:, [0, 2, 1, 3, 4]], "parents"),
        ("shapedirs", lambda a: a[..., :200], "columns in shapedirs"),
        ("posedirs", lambda a: a[..., :9], "posedirs of shape"),
        ("posedirs", lambda a: None, "the array posedirs"),
    ],
)
def test_what_is_no_flame_is_said(key: str, change, message: str) -> None:
    values = flame_arrays()
    with pytest.raises(UserError, match=message):
        check_flame({**values, key: change(values[key])})
