"""The exported ply, read back by its own header, against the avatar's Gaussians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.load import load_avatar
from gaussavatar.cli.main import run
from gaussavatar.export.ply import SH_C0, ply_rows
from gaussavatar.types import Activated


def read_ply(path: Path) -> np.ndarray:
    header, body = path.read_bytes().split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    names = [line.split()[2] for line in lines if line.startswith("property float")]
    count = int(next(line.split()[2] for line in lines if line.startswith("element vertex")))
    rows = np.frombuffer(body, np.dtype([(name, "<f4") for name in names]))
    assert len(rows) == count
    return rows


def test_command_writes_what_the_avatar_is_at_rest(toy_avatar: Path, tmp_path: Path, capsys) -> None:  # noqa: ANN001
    out = tmp_path / "toy.ply"
    assert run(["export", str(toy_avatar), "--format", "ply", "--out", str(out)]) == 0
    assert str(out.name) in capsys.readouterr().out
    rows, avatar = read_ply(out), load_avatar(toy_avatar)
    rest = avatar.activated(avatar.closed.numpy(), np.zeros(len(avatar.upper_names), np.float32))
    assert len(rows) == rest.means.shape[0]
    np.testing.assert_allclose(rows["y"], rest.means[:, 1], atol=1e-6)
    np.testing.assert_allclose(np.exp(rows["scale_2"]), rest.scales[:, 2], rtol=1e-4)
    np.testing.assert_allclose(1 / (1 + np.exp(-rows["opacity"])), rest.opacities, atol=1e-4)
    np.testing.assert_allclose(0.5 + SH_C0 * rows["f_dc_0"], rest.colors[:, 0], atol=1e-5)


def test_gaussians_that_are_not_finite_are_left_out() -> None:
    ones = Activated(
        torch.ones(3, 3), torch.ones(3, 4), torch.ones(3, 3), torch.tensor([0.5, float("nan"), 0.5]), torch.ones(3, 3)
    )
    assert len(ply_rows(ones)) == 2


@pytest.mark.parametrize(("words", "part"), [(["--format", "obj"], "ply"), (["--out", "."], "a file name for --out")])
def test_wrong_words_get_one_line(toy_avatar: Path, words: list[str], part: str, capsys) -> None:  # noqa: ANN001
    assert run(["export", str(toy_avatar), *words]) == 2
    told = capsys.readouterr().err
    assert part in told and len(told.splitlines()) == 1
