"""The head's mesh with morph targets that move, against the curves and poses that it was made from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaussavatar.cli.main import run
from gaussavatar.export.head_mesh import head_bytes
from gaussavatar.head.model import HeadModel, save_head
from gaussavatar.image.srgb import linear
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS, ArkitCurves

sys.path.insert(0, str(Path(__file__).parents[2]))
from foreign import gltf_report  # noqa: E402

AXES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
SIDES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], np.int32
)  # fmt: skip


def small_head() -> HeadModel:
    """A skull, a left eye before it and shoulders, each of them an octahedron; jawOpen lowers the skull's chin."""
    points = np.concatenate([0.1 * AXES, 0.01 * AXES + [0.03, -0.02, -0.1], 0.2 * AXES + [0, 0.4, 0]])
    weights = np.repeat(np.eye(3, dtype=np.float32)[[1, 2, 0]], 6, axis=0)
    expression = np.zeros((52, 18, 3), np.float32)
    expression[ARKIT_EXPRESSIONS.index("jawOpen"), 2, 1] = 0.02
    return HeadModel(
        name="small",
        template=points.astype(np.float32),
        triangles=np.concatenate([SIDES, SIDES + 6, SIDES + 12]),
        identity=np.zeros((0, 18, 3), np.float32),
        identity_names=(),
        expression=expression,
        expression_names=ARKIT_EXPRESSIONS,
        joint_names=("torso", "head", "eye_left"),
        joint_parents=(-1, 0, 1),
        joint_positions=np.array([[0, 0.3, 0], [0, 0.1, 0], [0.03, -0.02, -0.1]], np.float32),
        joint_identity=np.zeros((0, 3, 3), np.float32),
        skin_weights=weights,
        regions=np.zeros(18, np.uint8),
        colour=np.full((18, 3), 0.5, np.float32),
    )


def read_glb(data: bytes) -> tuple[dict, list[np.ndarray]]:
    length = int.from_bytes(data[12:16], "little")
    document, blob = json.loads(data[20 : 20 + length]), data[28 + length :]
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        flat = np.frombuffer(blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]], kind)
        arrays.append(flat.reshape(accessor["count"], -1))
    return document, arrays


def test_points_weights_and_poses_are_those_of_head_and_motion() -> None:
    head, random = small_head(), np.random.default_rng(0)
    curves = ArkitCurves(random.random((7, 52)).astype(np.float32), 50.0)
    T = np.tile(np.eye(4, dtype=np.float32), (7, 1, 1))
    T[:, :3, :3] = Rotation.from_euler("y", np.linspace(-40, 40, 7)[:, None], degrees=True).as_matrix()
    T[:, :3, 3] = random.normal(size=(7, 3)) + [0, 0, 0.7]
    document, arrays = read_glb(head_bytes(head, curves, T))
    primitive = document["meshes"][0]["primitives"][0]
    flip = np.array([1, -1, -1])
    np.testing.assert_allclose(arrays[0] * flip, head.template[:12], atol=1e-7)
    assert arrays[primitive["indices"]].max() == 11, "the shoulders are not there"
    np.testing.assert_allclose(arrays[1][:6] * flip, AXES, atol=1e-6)
    targets = {
        name: arrays[target["POSITION"]]
        for name, target in zip(document["meshes"][0]["extras"]["targetNames"], primitive["targets"], strict=True)
    }
    assert len(targets) == 52 and targets["jawOpen"][2].tolist() == pytest.approx([0, -0.02, 0])
    samplers = {
        channel["target"]["path"]: document["animations"][0]["samplers"][channel["sampler"]]
        for channel in document["animations"][0]["channels"]
    }
    np.testing.assert_allclose(arrays[samplers["weights"]["input"]][:, 0], np.arange(7) / 50)
    np.testing.assert_array_equal(arrays[samplers["weights"]["output"]].reshape(7, 52), curves.values)
    turns = Rotation.from_quat(arrays[samplers["rotation"]["output"]])
    moved = turns.apply(arrays[0][0]) + arrays[samplers["translation"]["output"]]
    wanted = head.template[0] @ T[:, :3, :3].transpose(0, 2, 1) + T[:, :3, 3] - T[:, :3, 3].mean(axis=0)
    np.testing.assert_allclose(moved * flip, wanted, atol=1e-5)


def test_looks_turn_the_eyeball() -> None:
    document, arrays = read_glb(
        head_bytes(small_head(), ArkitCurves(np.zeros((1, 52), "f4"), 25.0), np.eye(4, dtype="f4")[None])
    )
    names = document["meshes"][0]["extras"]["targetNames"]
    targets = document["meshes"][0]["primitives"][0]["targets"]
    pupil = 6 + 5
    out, down = (arrays[targets[names.index(name)]["POSITION"]] for name in ("eyeLookOutLeft", "eyeLookDownLeft"))
    assert out[pupil, 0] == pytest.approx(0.005, abs=1e-5), "to the person's left, which is x"
    assert down[pupil, 1] == pytest.approx(-0.005, abs=1e-5)
    assert not out[:6].any(), "the skull stays"


def test_command_finds_the_captured_head_or_says_what_is_missing(toy_avatar: Path, tmp_path: Path, capsys) -> None:  # noqa: ANN001
    out, head = tmp_path / "x.glb", tmp_path / "head.npz"
    words = ["export", str(toy_avatar), "--format", "glb-head", "--out", str(out)]
    assert run(words) == 2 and not out.exists()
    told = capsys.readouterr().err
    assert "capture/head.npz" in told and len(told.splitlines()) == 1
    save_head(head, small_head())
    assert run([*words, "--set", f"head={head}"]) == 0
    assert "30 frames" in capsys.readouterr().out
    issues = gltf_report(out)["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"]


def test_colours_become_amounts_of_light() -> None:
    np.testing.assert_allclose(linear(np.array([[0.0, 0.5, 1.0]])), [[0, 0.2140, 1]], atol=1e-4)
