"""Still formats, read back by another's reader: 200 made-up Gaussians, within each format's stated precision."""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gaussavatar.errors import UserError
from gaussavatar.export.cloud import Cloud, cloud_of, morton_order, smallest_three
from gaussavatar.export.registry import WRITERS
from gaussavatar.export.splat import ROW
from gaussavatar.export.stills import STILLS
from gaussavatar.motion.track import MotionTrack
from gaussavatar.types import Activated

sys.path.insert(0, str(Path(__file__).parents[2]))
from foreign import gltf_report, read_by_splat_transform, splat_transform  # noqa: E402

N = 200


def made_up() -> Activated:
    """Gaussians of a head's size that are alike in nothing."""
    random = np.random.default_rng(1)
    quats = random.normal(size=(N, 4))
    arrays = (
        random.uniform(-0.2, 0.2, (N, 3)),
        quats / np.linalg.norm(quats, axis=1, keepdims=True),
        np.exp(random.uniform(-8, -4, (N, 3))),
        random.uniform(0.05, 0.99, N),
        random.uniform(0, 1, (N, 3)),
    )
    return Activated(*(torch.from_numpy(array).float() for array in arrays))


def one_frame() -> MotionTrack:
    return MotionTrack(np.zeros((1, 1), "f4"), np.zeros((1, 1), "f4"), np.eye(4, dtype="f4")[None], np.zeros(1, int))


def written(kind: str, path: Path, gaussians: Activated | None = None, **options: float) -> Path:
    def states() -> Iterator[Activated]:
        yield made_up() if gaussians is None else gaussians

    WRITERS[kind].write(path, states(), one_frame(), options)
    return path


def in_order(read: dict[str, np.ndarray]) -> Cloud:
    """What another program read, each Gaussian in the place of the made-up one that is nearest."""

    def columns(*names: str) -> np.ndarray:
        return np.stack([read[name] for name in names], axis=1)

    means = columns("x", "y", "z")
    order = ((means[None] - cloud_of(made_up()).means[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    assert sorted(order) == list(range(N)), "each one is there once"
    opacity, harmonics = 1 / (1 + np.exp(-read["opacity"])), columns("f_dc_0", "f_dc_1", "f_dc_2")
    quats = columns("rot_0", "rot_1", "rot_2", "rot_3")
    quats = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    scales = np.exp(columns("scale_0", "scale_1", "scale_2"))
    arrays = (means, quats, scales, opacity, 0.5 + 0.28209479177387814 * harmonics)
    return Cloud(*(array[order].astype(np.float32) for array in arrays))


def turn_between(first: np.ndarray, second: np.ndarray) -> float:
    """The largest angle between two sets of rotations, radians."""
    return float(2 * np.arccos(np.abs((first * second).sum(axis=1)).clip(0, 1)).max())


# Metres, radians, ratio of scales, opacity, colour.
PRECISION = {
    "ply": (1e-6, 1e-3, 1e-4, 1e-5, 1e-5),
    "splat": (1e-6, 0.03, 1e-4, 0.5 / 255 + 1e-5, 0.5 / 255 + 1e-5),
    "sog": (0.5 * 0.4 / 65535 * 1.3, 0.02, 0.5 * 4.1 / 255, 0.5 / 255 + 1e-5, 0.5 * 1.01 / 255 + 1e-4),
    "spz": (0.5 / 2**13 + 1e-6, 5e-3, 1 / 32 + 1e-3, 0.5 / 255 + 1e-5, 0.5 / 255 * 0.2821 / 0.15 + 1e-4),
}


@pytest.mark.parametrize("kind", PRECISION)
def test_another_program_reads_what_was_written(kind: str, tmp_path: Path) -> None:
    wanted = cloud_of(made_up())
    read = in_order(read_by_splat_transform(written(kind, tmp_path / f"cloud.{kind}")))
    metres, radians, ratio, opacity, color = PRECISION[kind]
    assert np.abs(read.means - wanted.means).max() <= metres
    assert turn_between(read.quats, wanted.quats) <= radians
    assert np.abs(np.log(read.scales / wanted.scales)).max() <= ratio
    assert np.abs(read.opacities - wanted.opacities).max() <= opacity
    assert np.abs(read.colors - wanted.colors).max() <= color


def test_splat_has_32_bytes_and_the_largest_first(tmp_path: Path) -> None:
    rows = np.frombuffer(written("splat", tmp_path / "x.splat").read_bytes(), ROW)
    assert len(rows) == N and ROW.itemsize == 32
    share = rows["scale"].prod(axis=1) * rows["rgba"][:, 3]
    assert share[0] == share.max() and share[:20].min() > share[-20:].max()


def test_spz_says_what_it_is_and_is_the_same_every_time(tmp_path: Path) -> None:
    first, again = written("spz", tmp_path / "a.spz").read_bytes(), written("spz", tmp_path / "b.spz").read_bytes()
    assert first == again
    head = gzip.decompress(first)
    assert head[:4] == b"NGSP" and head[4] == 3 and int.from_bytes(head[8:12], "little") == N
    assert len(head) == 16 + N * (9 + 1 + 3 + 3 + 4)


def test_spz_refuses_what_does_not_fit(tmp_path: Path) -> None:
    far = made_up()
    far.means[7, 1] = 1500.0
    with pytest.raises(UserError, match="within a kilometre"):
        written("spz", tmp_path / "far.spz", far)
    assert not list(tmp_path.iterdir())


def read_glb(path: Path) -> tuple[dict, list[np.ndarray]]:
    """The document and its arrays, by glTF's own rules."""
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    document, blob = json.loads(data[20 : 20 + length]), data[28 + length :]
    assert data[:4] == b"glTF" and int.from_bytes(data[8:12], "little") == len(data)
    types, widths = {5126: "<f4", 5121: "u1", 5123: "<u2", 5125: "<u4"}, {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
    arrays = []
    for accessor in document["accessors"]:
        view, width = document["bufferViews"][accessor["bufferView"]], widths[accessor["type"]]
        start, kind = view["byteOffset"], types[accessor["componentType"]]
        flat = np.frombuffer(blob[start : start + view["byteLength"]], kind)
        arrays.append(flat.reshape(accessor["count"], width))
    return document, arrays


def test_glb_holds_the_cloud_in_the_axes_of_gltf(tmp_path: Path) -> None:
    document, arrays = read_glb(written("glb", tmp_path / "x.glb"))
    primitive, wanted = document["meshes"][0]["primitives"][0], cloud_of(made_up()).by_place()
    assert primitive["mode"] == 0 and primitive["extensions"]["KHR_gaussian_splatting"]["kernel"] == "ellipse"
    named = {name.split(":")[-1]: arrays[index] for name, index in primitive["attributes"].items()}
    np.testing.assert_allclose(named["POSITION"] * [1, -1, -1], wanted.means, atol=1e-7)
    np.testing.assert_allclose(named["ROTATION"][:, 3], wanted.quats[:, 0], atol=1e-7)
    np.testing.assert_allclose(named["SCALE"], wanted.scales, rtol=1e-6)
    np.testing.assert_allclose(named["OPACITY"][:, 0], wanted.opacities, atol=1e-7)
    np.testing.assert_allclose(0.5 + 0.28209479 * named["SH_DEGREE_0_COEF_0"], wanted.colors, atol=1e-6)


def test_glb_is_valid_gltf_and_what_another_program_makes_of_the_ply(tmp_path: Path) -> None:
    path = written("glb", tmp_path / "x.glb")
    found = gltf_report(path)["issues"]["messages"]
    # The validator of today does not know the extension, whose names of attributes have a colon.
    own = [issue for issue in found if "KHR_gaussian_splatting" not in issue["pointer"] + issue["message"]]
    assert not [issue for issue in own if issue["severity"] == 0], own
    document, arrays = read_glb(path)
    theirs, other = read_glb(splat_transform(written("ply", tmp_path / "x.ply"), tmp_path / "other.glb"))
    mine, yours = (d["meshes"][0]["primitives"][0] for d in (document, theirs))
    assert mine["attributes"].keys() == yours["attributes"].keys()
    assert mine["extensions"] == yours["extensions"]
    # They turn a ply half about z, so that a face looks backwards; ours half about x, so that it looks along z.
    halfway = np.array([-1, 1, -1])
    first, second = (a[p["attributes"]["POSITION"]] for a, p in ((arrays, mine), (other, yours)))
    order = np.linalg.norm((first * halfway)[:, None] - second[None], axis=2).argmin(axis=1)
    np.testing.assert_allclose(first * halfway, second[order], atol=1e-6)
    for name in ("SCALE", "OPACITY", "SH_DEGREE_0_COEF_0"):
        key = f"KHR_gaussian_splatting:{name}"
        pair = arrays[mine["attributes"][key]], other[yours["attributes"][key]][order]
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5)


def test_sog_is_the_same_every_time_and_keeps_the_colours_of_what_is_nearly_gone(tmp_path: Path) -> None:
    faint = made_up()
    faint.opacities[:50] = 1e-4
    first, again = (written("sog", tmp_path / name, faint).read_bytes() for name in ("a.sog", "b.sog"))
    assert first == again
    with zipfile.ZipFile(tmp_path / "a.sog") as archive, archive.open("sh0.webp") as file:
        pixels = np.asarray(Image.open(file)).reshape(-1, 4)[:N]
    gone = pixels[:, 3] == 0
    assert gone.sum() == 50 and pixels[gone, :3].std() > 20


def test_usd_holds_the_cloud_with_y_up(tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="no usd-core: pip install 'gaussavatar[usd]'")
    from pxr import Usd, UsdGeom, UsdVol

    stage = Usd.Stage.Open(str(written("usd", tmp_path / "x.usd")))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    prim, wanted = UsdVol.ParticleField3DGaussianSplat(stage.GetDefaultPrim()), cloud_of(made_up()).by_place()
    np.testing.assert_allclose(np.array(prim.GetPositionsAttr().Get()) * [1, -1, -1], wanted.means, atol=1e-7)
    turns = [[q.GetReal(), *q.GetImaginary()] for q in prim.GetOrientationsAttr().Get()]
    np.testing.assert_allclose(np.array(turns) * [1, 1, -1, -1], wanted.quats, atol=1e-6)
    np.testing.assert_allclose(np.array(prim.GetScalesAttr().Get()), wanted.scales, rtol=1e-6)
    np.testing.assert_allclose(np.array(prim.GetOpacitiesAttr().Get()), wanted.opacities, rtol=1e-6)
    harmonics = np.array(prim.GetRadianceSphericalHarmonicsCoefficientsAttr().Get())
    np.testing.assert_allclose(0.5 + 0.28209479 * harmonics, wanted.colors, atol=1e-6)


def test_usd_says_how_to_get_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(UserError, match="usd-core.*none installed.*pip install 'gaussavatar.usd.'"):
        written("usd", tmp_path / "x.usd")


@pytest.mark.parametrize("kind", [kind for kind in STILLS if kind != "usd"])
def test_no_format_takes_numbers_that_are_none_or_nothing_at_all(kind: str, tmp_path: Path) -> None:
    broken = made_up()
    broken.scales[3, 0] = float("inf")
    with pytest.raises(UserError, match="1 of 200 that are not finite"):
        written(kind, tmp_path / "x", broken)
    with pytest.raises(UserError, match="at least 1 opaque"):
        written(kind, tmp_path / "x", faintest=1.0)
    assert not list(tmp_path.iterdir())


def test_the_turn_to_other_axes_takes_covariances_along() -> None:
    def covariances(cloud: Cloud) -> np.ndarray:
        w, x, y, z = cloud.quats.T.astype(np.float64)
        R = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        ).transpose(2, 0, 1)
        return R @ (cloud.scales.astype(np.float64)[:, :, None] ** 2 * R.transpose(0, 2, 1))

    cloud, flip = cloud_of(made_up()), np.diag([1.0, -1, -1])
    turned = cloud.upright()
    np.testing.assert_allclose(turned.means, cloud.means @ flip)
    np.testing.assert_allclose(covariances(turned), flip @ covariances(cloud) @ flip, atol=1e-10)


def test_three_components_tell_the_fourth() -> None:
    quats = cloud_of(made_up()).quats
    largest, others = smallest_three(quats)
    others = others / np.sqrt(2)
    whole = np.zeros_like(quats)
    whole[np.arange(4) != largest[:, None]] = others.ravel()
    whole[np.arange(N), largest] = np.sqrt(1 - (others**2).sum(axis=1))
    assert turn_between(whole, quats) < 2e-3


def test_neighbours_in_space_become_neighbours_in_a_file() -> None:
    means = cloud_of(made_up()).means
    order = morton_order(means)
    assert sorted(order) == list(range(N))
    step = np.linalg.norm(np.diff(means, axis=0), axis=1).mean()
    assert np.linalg.norm(np.diff(means[order], axis=0), axis=1).mean() < 0.6 * step
