"""Gaussians that other programs wrote, and files that only look so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.export.cloud import cloud_of
from gaussavatar.export.ply import ply_bytes
from gaussavatar.media.gaussians import PLAIN, read_gaussians
from gaussavatar.types import Activated

sys.path.insert(0, str(Path(__file__).parents[2]))
from foreign import splat_transform  # noqa: E402

N = 300


def made_up() -> Activated:
    random = np.random.default_rng(2)
    quats = random.normal(size=(N, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True) * np.sign(quats[:, :1])
    arrays = (
        random.uniform(-0.2, 0.2, (N, 3)), quats, np.exp(random.uniform(-8, -4, (N, 3))),
        random.uniform(0.05, 0.95, N), random.uniform(0, 1, (N, 3)),
    )  # fmt: skip
    return Activated(*(torch.from_numpy(array).float() for array in arrays))


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    (tmp_path / "ours.ply").write_bytes(ply_bytes(cloud_of(made_up())))
    return tmp_path / "ours.ply"


def assert_alike(read: Activated, wanted: Activated, metres: float, share: float) -> None:
    order = ((read.means[None] - wanted.means[:, None]) ** 2).sum(dim=2).argmin(dim=1)
    assert sorted(order.tolist()) == list(range(N))
    np.testing.assert_allclose(read.means[order], wanted.means, atol=metres)
    np.testing.assert_allclose(np.abs((read.quats[order] * wanted.quats).sum(dim=1)), 1, atol=share)
    np.testing.assert_allclose(torch.log(read.scales[order] / wanted.scales), 0, atol=4 * share)
    np.testing.assert_allclose(read.opacities[order], wanted.opacities, atol=share)
    np.testing.assert_allclose(read.colors[order], wanted.colors, atol=share)


def test_our_own_file_comes_back(ours: Path) -> None:
    assert_alike(read_gaussians(ours).activated(), made_up(), 1e-7, 1e-5)


@pytest.mark.parametrize(("name", "metres", "share"), [("other.ply", 1e-6, 1e-4), ("other.compressed.ply", 2e-4, 5e-3)])
def test_what_another_program_writes_is_read(ours: Path, name: str, metres: float, share: float) -> None:
    assert_alike(read_gaussians(splat_transform(ours, ours.with_name(name))).activated(), made_up(), metres, share)


def test_other_orders_types_and_harmonics_are_understood(tmp_path: Path) -> None:
    names = ["f_rest_0", *PLAIN[::-1], "binding_0"]
    rows = np.zeros(2, [(name, ">f8" if name == "x" else ">f4") for name in names])
    rows["rot_0"], rows["x"], rows["binding_0"] = 2, [0.25, -0.5], [7, 9]
    lines = ["ply", "format binary_big_endian 1.0", "comment x", "element vertex 2"]
    lines += [f"property {'double' if name == 'x' else 'float'} {name}" for name in names]
    (tmp_path / "x.ply").write_bytes("\r\n".join([*lines, "end_header", ""]).encode() + rows.tobytes())
    read = read_gaussians(tmp_path / "x.ply")
    assert read.binding.tolist() == [7, 9]
    cloud = read.activated()
    assert cloud.means[:, 0].tolist() == [0.25, -0.5] and cloud.quats[0].tolist() == [1, 0, 0, 0]
    assert cloud.opacities.tolist() == [0.5, 0.5] and cloud.colors[0].tolist() == [0.5] * 3


HEAD = b"ply\nformat binary_little_endian 1.0\n"
FIELDS = b"".join(b"property float " + name.encode() + b"\n" for name in PLAIN)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "another kind"),
        (b"PK\x03\x04 no ply", "another kind"),
        (HEAD + b"element vertex 1\n" + FIELDS + b"end_header\n" + bytes(10), "cut short"),
        (HEAD + b"element vertex 9999999\n" + FIELDS + b"end_header\n", "cut short"),
        (HEAD + b"element vertex 99999999999999\n" + FIELDS + b"end_header\n", "a header with"),
        (HEAD + b"element vertex -1\n" + FIELDS + b"end_header\n", "a header with"),
        (HEAD + b"element vertex 0\n" + FIELDS + b"end_header\n", "or none"),
        (HEAD + b"element face 1\nproperty list uchar int vertex_indices\nend_header\n" + bytes(9), "a header with"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "a header with"),
        (HEAD + b"element vertex 1\nproperty float x\nproperty float x\nend_header\n" + bytes(8), "twice"),
        (HEAD + b"element vertex 1\nproperty float x\nend_header\n" + bytes(4), "points without Gaussians"),
        (HEAD + b"element vertex 1\n" + FIELDS + b"end_header\n" + bytes(56), "turns that are none"),
        (HEAD + b"element vertex 1\n" + FIELDS + b"end_header\n" + b"\xff" * 56, "not finite"),
        (HEAD + b"property float x\nend_header\n", "a header with"),
        (
            HEAD + b"element vertex 1\n" + b"".join(b"property uint packed_%s\n" % name for name in (
                b"position", b"rotation", b"scale", b"color")) + b"end_header\n" + bytes(16),
            "without their ranges",
        ),
    ],
)  # fmt: skip
def test_files_that_are_none_are_refused_in_one_line(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "x.ply").write_bytes(content)
    with pytest.raises(UserError, match=part):
        read_gaussians(tmp_path / "x.ply")
