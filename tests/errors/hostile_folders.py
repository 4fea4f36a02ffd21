"""Folders of OBJ files, paths that are no files, and files of other kinds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tests.errors.hostile_heads import CASES, case, written


def obj_text(n: int = 120, tail: str = "f 1 2 3\nf 3/1 4/1 5/1 6/1\n") -> str:
    points = np.random.default_rng(n).uniform(-15, 15, (n, 3))
    return "".join(f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in points) + "usemtl M_Face\n" + tail


def obj_folder(name: str, **files: str | bytes | None) -> None:
    """Register an ICT folder with changed files; None leaves one out."""
    usual = {"generic_neutral_mesh": obj_text(), "identity000": obj_text(), "jawOpen": obj_text()}

    def build(folder: Path) -> Path:
        inner = folder / "FaceXModel"
        inner.mkdir()
        for stem, text in (usual | files).items():
            if text is not None:
                (inner / f"{stem}.obj").write_bytes(text if isinstance(text, bytes) else text.encode())
        return inner

    CASES[name] = build


obj_folder("obj_without_eyes")
obj_folder("obj_face_out_of_range", generic_neutral_mesh=obj_text(tail="f 1 2 999999\n"))
obj_folder("obj_face_zero_backwards", generic_neutral_mesh=obj_text(tail="f 1 2 -99999\n"))
obj_folder("obj_nan", generic_neutral_mesh="v nan 0 0\n" + obj_text(119))
obj_folder("obj_infinite_identity", identity000="v inf 0 0\n" + obj_text(119))
obj_folder("obj_gigantic_face", generic_neutral_mesh=obj_text(tail="f " + "1 " * 3_000_000 + "\n"))
obj_folder("obj_gigantic_number", generic_neutral_mesh=obj_text(tail="f 1 2 " + "9" * 900 + "\n"))
obj_folder("obj_polygon", generic_neutral_mesh=obj_text(tail="f 1 2 3 4 5 6\n"))
obj_folder("obj_no_vertices", generic_neutral_mesh="# nothing\n")
obj_folder("obj_no_faces", generic_neutral_mesh=obj_text(tail=""))
obj_folder("obj_words_for_numbers", generic_neutral_mesh="v one two three\n")
obj_folder("obj_other_vertex_count", jawOpen=obj_text(121))
obj_folder("obj_binary_garbage", generic_neutral_mesh=bytes(range(256)) * 400)
obj_folder("obj_binary_expression", jawOpen=b"v " + bytes(range(256)) * 3)
obj_folder("obj_neutral_missing", generic_neutral_mesh=None)
obj_folder("obj_identity_missing", identity000=None)
obj_folder("obj_folder_empty", generic_neutral_mesh=None, identity000=None, jawOpen=None)


@case
def obj_link_out_of_the_folder(folder: Path) -> Path:
    inner = CASES["obj_without_eyes"](folder)
    (inner / "smile.obj").symlink_to("/etc/passwd")
    return inner


@case
def obj_link_to_endless_zeros(folder: Path) -> Path:
    inner = CASES["obj_without_eyes"](folder)
    (inner / "smile.obj").symlink_to("/dev/zero")
    return inner


@case
def obj_pipe(folder: Path) -> Path:
    inner = CASES["obj_without_eyes"](folder)
    os.mkfifo(inner / "smile.obj")
    return inner


@case
def obj_dangling_link(folder: Path) -> Path:
    inner = CASES["obj_without_eyes"](folder)
    (inner / "smile.obj").symlink_to(inner / "nowhere.obj")
    return inner


@case
def pipe_for_a_file(folder: Path) -> Path:
    os.mkfifo(folder / "flame.pkl")
    return folder / "flame.pkl"


@case
def link_to_endless_zeros(folder: Path) -> Path:
    (folder / "flame.pkl").symlink_to("/dev/zero")
    return folder / "flame.pkl"


@case
def link_to_itself(folder: Path) -> Path:
    (folder / "flame.pkl").symlink_to(folder / "flame.pkl")
    return folder / "flame.pkl"


@case
def no_such_file(folder: Path) -> Path:
    return folder / "flame.pkl"


@case
def sparse_file_of_two_gibibytes(folder: Path) -> Path:
    with (folder / "flame.pkl").open("wb") as file:
        file.truncate(2 << 30)
    return folder / "flame.pkl"


@case
def letter(folder: Path) -> Path:
    return written(folder, b"Dear Sir or Madam, this is not a head.\n" * 40)


@case
def picture(folder: Path) -> Path:
    return written(folder, b"\x89PNG\r\n\x1a\n" + bytes(100), "head.png")


@case
def obj_folder_of_three_gibibytes(folder: Path) -> Path:
    inner = CASES["obj_without_eyes"](folder)
    for index in range(3):
        with (inner / f"identity{index + 1:03d}.obj").open("wb") as file:
            file.truncate(1 << 30)
    return inner
