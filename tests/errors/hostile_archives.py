"""Zip and npz files that trick, waste, or hold arrays which are no head."""

from __future__ import annotations

import copy
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.errors.hostile_heads import CASES, case, written
from tests.errors.hostile_pickles import called, flame_pickle

GZIP_LIKE = b"\x1f\x8b\x08\x00" + bytes(60)


def zipped(folder: Path, members: dict[str, bytes], name: str = "FLAME2023.zip") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path


@case
def zip_bomb(folder: Path) -> Path:
    path = folder / "FLAME2023.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("flame2023.pkl", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    return path


@case
def zip_bomb_that_lies_about_its_size(folder: Path) -> Path:
    path = zip_bomb(folder)
    data = path.read_bytes()
    return written(folder, data.replace(struct.pack("<I", 300 << 20), struct.pack("<I", 1000)), "FLAME2023.zip")


@case
def zip_of_a_hostile_pickle(folder: Path) -> Path:
    return zipped(folder, {"FLAME2023/flame2023.pkl": called("os", "system", f"touch {folder / 'canary'}")})


@case
def zip_path_trick(folder: Path) -> Path:
    return zipped(folder, {"../../flame2023.pkl": flame_pickle()})


@case
def zip_absolute_path(folder: Path) -> Path:
    return zipped(folder, {str(folder / "canary"): b"x", "flame2023.pkl": flame_pickle()})


@case
def zip_windows_path_trick(folder: Path) -> Path:
    return zipped(folder, {"a\\..\\..\\flame2023.pkl": flame_pickle()})


@case
def zip_without_a_model(folder: Path) -> Path:
    return zipped(folder, {"readme.txt": b"nothing here"})


@case
def zip_in_a_zip(folder: Path) -> Path:
    inner = zipped(folder, {"flame2023.pkl": flame_pickle()}, "inner.zip").read_bytes()
    return zipped(folder, {"FLAME2023.zip": inner})


@case
def zip_of_unknown_pickles(folder: Path) -> Path:
    return zipped(folder, {"a.pkl": flame_pickle(), "b.pkl": flame_pickle()})


@case
def zip_encrypted(folder: Path) -> Path:
    path = zipped(folder, {"flame2023.pkl": flame_pickle()})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(bytes(data))
    return path


@case
def zip_truncated(folder: Path) -> Path:
    data = zipped(folder, {"flame2023.pkl": flame_pickle()}).read_bytes()
    return written(folder, data[: len(data) * 2 // 3], "FLAME2023.zip")


@case
def zip_damaged_inside(folder: Path) -> Path:
    path = zipped(folder, {"flame2023.pkl": flame_pickle()})
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 40] = bytes(40)
    path.write_bytes(bytes(data))
    return path


@case
def zip_of_thousands(folder: Path) -> Path:
    return zipped(folder, {f"{index}.txt": b"" for index in range(2500)})


@case
def gzip_called_zip(folder: Path) -> Path:
    return written(folder, GZIP_LIKE, "FLAME2023.zip")


def small_ict() -> dict[str, Any]:
    """Arrays that pass every check of an ICT-FaceKit archive but are no head."""
    random = np.random.default_rng(0)
    n = 200
    vertices = random.uniform(-15, 15, (n, 3)).astype(np.float32)
    vertices[:2, 1] = -15, 15
    return {
        "v": vertices,
        "faces": random.integers(0, n, (300, 4)).astype(np.int32),
        "face_mat": random.integers(0, 4, 300).astype(np.uint8),
        "mats": np.array(["M_Face", "M_Teeth", "M_ScleraLeft", "M_ScleraRight"]),
        "identity": random.normal(size=(5, n, 3)).astype(np.float32),
        "expr": random.normal(size=(2, n, 3)).astype(np.float32),
        "expr_names": np.array(["jawOpen", "eyeBlink_L"]),
    }


def npz(folder: Path, arrays: dict[str, Any], name: str = "head.npz") -> Path:
    path = folder / name
    np.savez(path, **arrays)
    return path


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text: str, body: bytes = b"") -> bytes:
    """An .npy file with a header of our choice."""
    line = text.encode() + b" " * (64 - (len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + body


def wrong_ict(name: str, **changes: Callable[[np.ndarray], Any]) -> None:
    """Register an ICT archive with changed arrays."""

    def build(folder: Path) -> Path:
        values = small_ict()
        changed = {key: change(values[key]) for key, change in changes.items()}
        return npz(folder, {key: value for key, value in (values | changed).items() if value is not None})

    CASES[name] = build


wrong_ict("ict_nan", identity=lambda a: a * np.nan)
wrong_ict("ict_face_out_of_range", faces=lambda a: a + 1000)
wrong_ict("ict_negative_face", faces=lambda a: a - 500)
wrong_ict("ict_without_materials", mats=lambda a: np.array(["a", "b", "c", "d"]))
wrong_ict("ict_material_out_of_range", face_mat=lambda a: a + np.uint8(100))
wrong_ict("ict_missing_array", identity=lambda a: None)
wrong_ict("ict_other_vertex_count", expr=lambda a: a[:, :100])
wrong_ict("ict_numbers_for_names", expr_names=lambda a: np.array([1, 2]))
wrong_ict("ict_metres_for_centimetres", v=lambda a: a / 100)


@case
def npz_object_array(folder: Path) -> Path:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {folder / 'canary'}",)

    array = np.empty(1, object)
    array[0] = Hostile()
    return npz(folder, small_ict() | {"v": array})


@case
def npz_pickle_for_an_array(folder: Path) -> Path:
    return zipped(folder, {"v.npy": called("os", "system", f"touch {folder / 'canary'}")}, "head.npz")


@case
def npz_huge_header_shape(folder: Path) -> Path:
    data = header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 3)}", bytes(48))
    return zipped(folder, {"v.npy": data, "faces.npy": npy(np.zeros(3))}, "head.npz")


@case
def npz_overflowing_header_shape(folder: Path) -> Path:
    """The sizes' product wraps around to zero in 64 bits."""
    data = header("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}")
    return zipped(folder, {"v.npy": data}, "head.npz")


@case
def npz_header_that_calls(folder: Path) -> Path:
    text = f"{{'descr': __import__('os').system('touch {folder / 'canary'}'), 'fortran_order': False, 'shape': ()}}"
    return zipped(folder, {"v.npy": header(text)}, "head.npz")


@case
def npz_structured_type(folder: Path) -> Path:
    data = header("{'descr': [('a', '<f8', (1000000, 1000000))], 'fortran_order': False, 'shape': (1,)}")
    return zipped(folder, {"v.npy": data}, "head.npz")


@case
def npz_bomb(folder: Path) -> Path:
    """One compressed array of 100 MB that the list of members names twenty times."""
    path = folder / "head.npz"
    data = header("{'descr': '|u1', 'fortran_order': False, 'shape': (104857600,)}", bytes(100 << 20))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("0.npy", data)
        for index in range(1, 20):
            again = copy.copy(archive.filelist[0])
            again.filename = f"{index}.npy"
            archive.filelist.append(again)
    return path


@case
def npz_with_a_program(folder: Path) -> Path:
    return zipped(folder, {"v.npy": npy(np.zeros(3)), "setup.py": b"import os"}, "head.npz")


@case
def npz_of_something_else(folder: Path) -> Path:
    return npz(folder, {"weights": np.zeros(4), "bias": np.zeros(2)})


@case
def gnm_of_strange_shapes(folder: Path) -> Path:
    return npz(folder, {"template_vertex_positions": np.zeros((200, 3)), "joint_names": np.array(["neck"])})


@case
def own_head_that_is_none(folder: Path) -> Path:
    arrays = {"template": np.zeros((4, 3)), "joint_parents": np.array([0]), "skin_weights": np.ones((4, 1))}
    return npz(folder, arrays)


@case
def own_head_with_landmarks_outside(folder: Path) -> Path:
    from gaussavatar.head.model import HeadModel, LandmarkEmbedding, save_head

    n = 30
    face = np.full(478, 10_000, np.int32)
    places = LandmarkEmbedding(
        face, np.ones((478, 3), np.float32) / 3, np.ones(478, np.float32), np.zeros(478, np.float32)
    )
    head = HeadModel(
        name="x",
        template=np.zeros((n, 3), np.float32),
        triangles=np.zeros((9, 3), np.int32),
        identity=np.zeros((1, n, 3), np.float32),
        identity_names=("a",),
        expression=np.zeros((1, n, 3), np.float32),
        expression_names=("jawOpen",),
        joint_names=("root",),
        joint_parents=(-1,),
        joint_positions=np.zeros((1, 3), np.float32),
        joint_identity=np.zeros((1, 1, 3), np.float32),
        skin_weights=np.ones((n, 1), np.float32),
        regions=np.zeros(n, np.uint8),
        embedding=places,
    )
    save_head(folder / "own.npz", head)
    return folder / "own.npz"
