"""The exported ply, read back by its own header, against the avatar's Gaussians."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.folder import TRACK, write_record
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.record import record_from_plain
from gaussavatar.avatar.torso import write_torso
from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.export.cloud import cloud_of
from gaussavatar.export.ply import ply_rows
from gaussavatar.export.registry import export_avatar
from gaussavatar.media.gaussians import SH_C0
from gaussavatar.model.torso import blank_torso
from gaussavatar.storage import read_arrays, read_json
from gaussavatar.types import Activated

TORSO = 50


def read_ply(path: Path) -> np.ndarray:
    header, body = path.read_bytes().split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    names = [line.split()[2] for line in lines if line.startswith("property float")]
    count = int(next(line.split()[2] for line in lines if line.startswith("element vertex")))
    rows = np.frombuffer(body, np.dtype([(name, "<f4") for name in names]))
    assert len(rows) == count
    return rows


def places(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows[axis] for axis in "xyz"], axis=1)


@pytest.fixture(scope="module")
def dressed(toy_avatar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy avatar with a torso branch that is turned a quarter about the view and 3 cm aside."""
    folder = tmp_path_factory.mktemp("dressed") / "toy"
    shutil.copytree(toy_avatar, folder)
    torso = blank_torso(TORSO)
    with torch.no_grad():
        torso.gaussians.means.copy_(torch.linspace(-0.1, 0.1, TORSO)[:, None] * torch.tensor([1.0, 0.5, 0.25]))
        torso.gaussians.quats[:, 0] = 1
        torso.gaussians.log_scales.copy_(torch.tensor([-3.0, -4.0, -5.0]).expand(TORSO, 3))
        torso.gaussians.logit_opacities.fill_(3.0)
        torso.gaussians.colors.copy_(torch.tensor([0.1, 0.6, 0.1]))
    aside = np.array([[0, -1, 0, 0.03], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    write_torso(folder, torso, read_arrays(folder / TRACK)[0]["T_camera_world"] @ aside)
    write_record(folder, record_from_plain(read_json(folder / "avatar.json"), folder))
    return folder


def test_command_writes_what_the_avatar_is_at_rest(toy_avatar: Path, tmp_path: Path, capsys) -> None:  # noqa: ANN001
    out = tmp_path / "toy.ply"
    assert run(["export", str(toy_avatar), "--format", "ply", "--out", str(out), "--set", "mouth=1"]) == 0
    assert str(out.name) in capsys.readouterr().out
    rows, avatar = read_ply(out), load_avatar(toy_avatar)
    rest = avatar.activated(avatar.closed.numpy(), np.zeros(len(avatar.upper_names), np.float32))
    assert len(rows) == rest.means.shape[0]
    np.testing.assert_allclose(rows["y"], rest.means[:, 1], atol=1e-6)
    np.testing.assert_allclose(np.exp(rows["scale_2"]), rest.scales[:, 2], rtol=1e-4)
    np.testing.assert_allclose(1 / (1 + np.exp(-rows["opacity"])), rest.opacities, atol=1e-4)
    np.testing.assert_allclose(0.5 + SH_C0 * rows["f_dc_0"], rest.colors[:, 0], atol=1e-5)


def test_the_torso_is_in_the_file_where_the_viewer_draws_it(toy_avatar: Path, dressed: Path, tmp_path: Path) -> None:
    bare = read_ply(export_avatar(toy_avatar, "ply", tmp_path / "bare.ply")[0])
    path, count = export_avatar(dressed, "ply", tmp_path / "dressed.ply")
    whole = read_ply(path)
    assert count == len(whole) == len(bare) + TORSO
    assert whole[:-TORSO].tobytes() == bare.tobytes(), "face and mouth, as without a torso"
    torso, own = whole[-TORSO:], torch.linspace(-0.1, 0.1, TORSO).numpy()
    # A quarter turn takes x to y and y to -x; then 3 cm along x. The head is where the filmed track begins.
    np.testing.assert_allclose(places(torso), np.stack([0.03 - 0.5 * own, own, 0.25 * own], axis=1), atol=1e-6)
    turned = np.stack([torso[f"rot_{index}"] for index in range(4)], axis=1)
    np.testing.assert_allclose(
        turned * np.sign(turned[:, :1]), np.tile([2**-0.5, 0, 0, 2**-0.5], (TORSO, 1)), atol=1e-6
    )
    np.testing.assert_allclose([torso[f"scale_{index}"][0] for index in range(3)], [-3, -4, -5], atol=1e-5)
    np.testing.assert_allclose(0.5 + SH_C0 * torso["f_dc_1"], 0.6, atol=1e-5)


def test_an_avatar_without_a_torso_gives_the_bytes_that_it_always_gave(toy_avatar: Path, tmp_path: Path) -> None:
    """The file as the first version wrote it, and whose face it is: the two branches by themselves."""
    avatar = load_avatar(toy_avatar)
    rows = ply_rows(cloud_of(avatar.activated(avatar.closed.numpy(), np.zeros(len(avatar.upper_names), np.float32))))
    header = [
        *("ply", "format binary_little_endian 1.0", "comment synthetic head avatar made by gaussavatar"),
        "comment nobody (consent: toy)",
        "element vertex 460",
        *(f"property float {name}" for name in "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity".split()),
        *(f"property float {name}" for name in "scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()),
        "end_header\n",
    ]
    wanted = "\n".join(header).encode() + rows.astype("<f4").tobytes()
    path, _ = export_avatar(toy_avatar, "ply", tmp_path / "toy.ply", options={"mouth": 1})
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(wanted).digest()


def test_a_state_of_a_motion_is_written_in_its_place(dressed: Path, tmp_path: Path) -> None:
    filmed = load_avatar(dressed).filmed
    rest = read_ply(export_avatar(dressed, "ply", tmp_path / "rest.ply")[0])
    then = read_ply(export_avatar(dressed, "ply", tmp_path / "then.ply", filmed.frames(12, 20))[0])
    assert np.abs(places(then)[:-TORSO] - places(rest)[:-TORSO]).max() > 1e-4, "the face of that frame"
    np.testing.assert_allclose(places(then)[-TORSO:], places(rest)[-TORSO:], atol=1e-6)


def test_faint_gaussians_are_left_out_on_request(toy_avatar: Path, tmp_path: Path) -> None:
    out = tmp_path / "toy.ply"
    avatar = load_avatar(toy_avatar)
    opacities = avatar.activated(avatar.closed.numpy(), np.zeros(3, np.float32)).opacities.numpy()
    middle = float(np.median(opacities))
    assert 0 < (opacities < middle + 1e-3).sum()
    assert run(["export", str(toy_avatar), "--out", str(out), "--set", f"faintest={middle - 0.01}"]) == 0
    assert len(read_ply(out)) == (opacities >= np.float32(middle - 0.01)).sum()


def test_clouds_that_are_not_finite_or_empty_are_refused() -> None:
    def ones(opacities: list[float]) -> Activated:
        return Activated(
            torch.ones(3, 3), torch.ones(3, 4), torch.ones(3, 3), torch.tensor(opacities), torch.ones(3, 3)
        )

    assert len(cloud_of(ones([0.5, 0.3, 0.1]), 0.2)) == 2
    with pytest.raises(UserError, match="1 of 3 that are not finite"):
        cloud_of(ones([0.5, float("nan"), 0.1]))
    with pytest.raises(UserError, match="smaller faintest"):
        cloud_of(ones([0.5, 0.3, 0.1]), 0.9)


@pytest.mark.parametrize(("words", "part"), [(["--format", "obj"], "ply"), (["--out", "."], "a file name for --out")])
def test_wrong_words_get_one_line(toy_avatar: Path, words: list[str], part: str, capsys) -> None:  # noqa: ANN001
    assert run(["export", str(toy_avatar), *words]) == 2
    told = capsys.readouterr().err
    assert part in told and len(told.splitlines()) == 1
