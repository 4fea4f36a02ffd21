from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.formats.ict import ict_head
from gaussavatar.head.install import _finish
from gaussavatar.head.model import HeadModel, pose_vertices, validate_head
from gaussavatar.head.safe.checks import check_ict
from gaussavatar.head.safe.obj import read_ict_folder, read_obj
from tests.unit.head.synthetic_heads import ict_arrays, write_ict_folder

REAL = Path(__file__).parents[4] / "shared" / "data" / "heads" / "ict_facekit_raw.npz"


@pytest.fixture(scope="module")
def converted() -> tuple[HeadModel, np.ndarray]:
    return ict_head(check_ict(ict_arrays()), "ict")


@pytest.fixture(scope="module")
def finished(converted: tuple[HeadModel, np.ndarray]) -> HeadModel:
    return _finish(converted[0], "ict")


def test_centimetres_become_metres_between_the_eyes(converted: tuple[HeadModel, np.ndarray]) -> None:
    head, T_source_template = converted
    validate_head(head)
    source = builtin_head(embedded=False)
    assert len(head.template) == len(source.template), "the inner shell of the eye is left out"
    np.testing.assert_allclose(head.template, source.template, atol=2e-4)
    back = head.template @ T_source_template[:3, :3].T + T_source_template[:3, 3]
    np.testing.assert_allclose(back, ict_arrays()["v"][: len(back)], atol=1e-3)
    assert len(head.triangles) == len(source.triangles), "clear layers before the eyes are left out"


def test_expressions_have_arkit_names_where_there_is_one(converted: tuple[HeadModel, np.ndarray]) -> None:
    head, _ = converted
    source = builtin_head(embedded=False)
    assert set(head.expression_names) == {
        *("jawOpen", "browInnerUp", "cheekPuff", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthPucker"),
        "cheekRaiserLeft",
    }
    for name in ("browInnerUp", "cheekPuff", "eyeBlinkLeft"):
        ours = head.expression[head.expression_names.index(name)]
        np.testing.assert_allclose(ours, source.expression[source.expression_names.index(name)], atol=2e-4)


def test_regions_come_from_materials_and_heights(finished: HeadModel) -> None:
    source = builtin_head(embedded=False)
    for name in ("teeth_upper", "teeth_lower", "eyeball_left", "eyeball_right", "lashes"):
        ours, theirs = finished.region(name), source.region(name)
        assert (ours == theirs).mean() > 0.995, name
    for name, least in (("lips", 0.5), ("ear", 0.4), ("neck", 0.15)):
        ours, theirs = finished.region(name), source.region(name)
        assert (ours & theirs).sum() / (ours | theirs).sum() > least, name
    assert finished.region("torso").any()


def test_borrowed_joints_turn_the_head_and_the_eyes(finished: HeadModel) -> None:
    assert finished.joint_names == ("root", "neck", "head", "eye_left", "eye_right")
    turns = torch.zeros(1, 5, 3)
    turns[0, 2, 1] = 0.4
    turned = pose_vertices(finished, torch.zeros(1, 3), torch.zeros(1, len(finished.expression)), turns)[0].numpy()
    moved = np.linalg.norm(turned - finished.template, axis=1)
    low = finished.template[:, 1] > 0.3
    assert moved[low].max() < 1e-3 < moved[finished.region("face")].min()
    eyes = torch.zeros(1, 5, 3)
    eyes[0, 3, 1] = 0.3
    looked = pose_vertices(finished, torch.zeros(1, 3), torch.zeros(1, len(finished.expression)), eyes)[0].numpy()
    only = np.linalg.norm(looked - finished.template, axis=1) > 1e-6
    assert (only <= finished.region("eyeball_left")).all() and only.sum() > 500
    assert finished.embedding is not None and (finished.embedding.confidence > 0).sum() > 450


def test_a_folder_of_obj_files_is_the_same_head(tmp_path: Path, converted: tuple[HeadModel, np.ndarray]) -> None:
    inner = write_ict_folder(tmp_path)
    for path in (inner, tmp_path):
        head, _ = ict_head(check_ict(read_ict_folder(path)), "ict")
        order = [head.expression_names.index(name) for name in converted[0].expression_names]
        np.testing.assert_allclose(head.template, converted[0].template, atol=2e-6)
        np.testing.assert_allclose(head.expression[order], converted[0].expression, atol=2e-6)
        np.testing.assert_array_equal(head.regions, converted[0].regions)
        np.testing.assert_allclose(head.identity, converted[0].identity, atol=2e-6)


def test_obj_corners_may_be_counted_from_the_end() -> None:
    mesh = read_obj(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf -4//1 -3//1 -1//1 -2//1\n", "x.obj")
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2, -1], [0, 1, 3, 2]])


@pytest.mark.long
@pytest.mark.skipif(not REAL.exists(), reason="needs the arrays of ICT-FaceKit")
def test_the_real_model() -> None:
    """Long: the real arrays are large; small ones of the same make are read in the usual run."""
    with np.load(REAL, allow_pickle=False) as file:
        head, _ = ict_head(check_ict({name: file[name] for name in file.files}), "ict")
    head = _finish(head, "ict")
    validate_head(head)
    assert len(head.identity_names) == 100 and len(head.expression_names) == 53
    # Sixteen upper and sixteen lower teeth.
    assert abs(int(head.region("teeth_upper").sum()) - int(head.region("teeth_lower").sum())) < 400
    opened = pose_vertices(
        head, torch.zeros(1, 100), torch.from_numpy(head.expression_row(jawOpen=1))[None]
    )[0].numpy()  # fmt: skip
    drop = (opened - head.template)[:, 1]
    assert drop[head.region("teeth_lower")].min() > 0.01 and np.abs(drop[head.region("teeth_upper")]).max() < 0.002
    assert head.embedding is not None and (head.embedding.confidence > 0.3).sum() > 440
    for name in ("lips", "ear", "scalp", "neck", "torso", "inner_mouth", "tongue"):
        assert head.region(name).sum() > 100, name
