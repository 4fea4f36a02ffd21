"""The package's annotations are checked while the tests run; see the top of tests/conftest.py."""

from __future__ import annotations

import ast
import builtins
import os
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

import gaussavatar
from gaussavatar.mesh.surface import area_normals, closest_barycentrics
from gaussavatar.types import Landmarks, Waveform
from tests.conftest import CHECKED_CALLS

checked = pytest.mark.skipif(os.environ.get("GAUSSAVATAR_TEST_TYPES") == "0", reason="GAUSSAVATAR_TEST_TYPES=0")


@checked
def test_a_wrong_shape_is_refused_at_the_call() -> None:
    assert area_normals(np.zeros((2, 3, 3))).shape == (2, 3)
    with pytest.raises(jaxtyping.TypeCheckError, match="corners"):
        area_normals(np.zeros((2, 4, 3)))


@checked
def test_names_of_axes_agree_across_arguments() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="triangles"):
        closest_barycentrics(np.zeros((4, 3)), np.zeros((5, 3, 3)))


@checked
def test_a_record_refuses_a_wrong_type_and_shape() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="samples"):
        Waveform(np.zeros(10, np.float64), 16_000)
    with pytest.raises(jaxtyping.TypeCheckError, match="valid"):
        Landmarks(np.zeros((3, 478, 3), np.float32), np.zeros(4, bool), 512)


@checked
@pytest.mark.parametrize("_", range(2))
def test_only_the_first_calls_of_each_test_are_checked(_: int) -> None:
    right, wrong = np.zeros((2, 3, 3)), np.zeros((2, 4, 3))
    with pytest.raises(jaxtyping.TypeCheckError):
        area_normals(wrong)
    for _ in range(CHECKED_CALLS):
        area_normals(right)
    assert area_normals(wrong).shape == (2, 3)
    # Methods, too, and what stands behind other decorators.
    waveform = Waveform(np.zeros(160, np.float32), 16_000)
    for _ in range(CHECKED_CALLS + 2):
        assert waveform.seconds == 0.01
    assert getattr(type(waveform).seconds.fget, "__no_type_check__", False)


@pytest.mark.usefixtures("types_unchecked")
def test_the_check_can_be_left_out_of_one_test() -> None:
    assert Waveform([0.0, 0.0], 2).seconds == 1


def names_in_annotations(tree: ast.Module) -> set[str]:
    """Every name that an annotation uses; what stands in quotes (shapes) is left out."""
    nodes = [n.annotation for n in ast.walk(tree) if isinstance(n, ast.arg | ast.AnnAssign) and n.annotation]
    nodes += [n.returns for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.returns]
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def names_bound(tree: ast.Module) -> set[str]:
    """Every name that a module imports, defines or assigns anywhere."""
    bound = {alias.asname or alias.name.split(".")[0] for n in ast.walk(tree)
             if isinstance(n, ast.Import | ast.ImportFrom) for alias in n.names}  # fmt: skip
    bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return bound | {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def test_every_name_in_an_annotation_exists() -> None:
    """An annotation whose name is missing is skipped by the check, and the linters' rule has to be off for shapes."""
    for path in sorted(Path(gaussavatar.__path__[0]).rglob("*.py")):
        tree = ast.parse(path.read_text())
        missing = names_in_annotations(tree) - names_bound(tree) - set(dir(builtins))
        assert not missing, f"{path}: {missing}"
