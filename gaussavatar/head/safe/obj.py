"""A small reader of Wavefront OBJ files: vertices, faces and material names; every count and length is bounded."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaussavatar.errors import UserError

MAX_FILE = 64 << 20
MAX_LINE = 1024
MAX_ROWS = 400_000
MAX_FILES = 400
MAX_MATERIALS = 200
NEUTRAL = "generic_neutral_mesh.obj"


@dataclass(frozen=True)
class ObjMesh:
    """Vertices (v, 3), faces (f, 4) with -1 for a missing fourth corner, each face's material, their names."""

    vertices: np.ndarray
    faces: np.ndarray
    material: np.ndarray
    materials: tuple[str, ...]


def read_obj(data: bytes, name: str) -> ObjMesh:
    """Read a mesh of triangles and quads.

    Raises:
        UserError: not text, a line or a count beyond all reason, a corner that is no vertex, or values not finite.
    """
    vertices = read_vertices(data, name)
    faces: list[list[int]] = []
    material: list[int] = []
    materials: list[str] = []
    current = 0
    for line in data.split(b"\n"):
        if line.startswith(b"usemtl "):
            entry = line[7:].strip().decode("ascii", "replace")[:60]
            if entry not in materials:
                materials.append(entry)
            current = materials.index(entry)
        elif line.startswith(b"f "):
            faces.append(_corners(line, len(vertices), name))
            material.append(current)
        if len(faces) > MAX_ROWS or len(materials) > MAX_MATERIALS:
            raise _bad(name, f"at most {MAX_ROWS} faces and {MAX_MATERIALS} materials", "more")
    if not faces:
        raise _bad(name, "faces", "none")
    return ObjMesh(vertices, np.array(faces), np.array(material), tuple(materials or [""]))


def read_vertices(data: bytes, name: str) -> np.ndarray:
    """Only the vertices (v, 3) of an OBJ file, float32.

    Raises:
        UserError: as :func:`read_obj`.
    """
    rows: list[list[bytes]] = []
    for line in data.split(b"\n"):
        if len(line) > MAX_LINE:
            raise _bad(name, f"lines of at most {MAX_LINE} characters", f"one of {len(line)}")
        if line.startswith(b"v "):
            words = line.split()
            if not 4 <= len(words) <= 8:
                raise _bad(name, "three numbers after each v", f"{line[:40]!r}")
            rows.append(words[1:4])
            if len(rows) > MAX_ROWS:
                raise _bad(name, f"at most {MAX_ROWS} vertices", "more")
    if not rows:
        raise _bad(name, "vertices", "none")
    try:
        vertices = np.array(rows).astype(np.float64)
    except ValueError as error:
        raise _bad(name, "three numbers after each v", str(error)[:60]) from error
    if not np.isfinite(vertices).all():
        raise _bad(name, "finite vertices", "others")
    return vertices.astype(np.float32)


def _corners(line: bytes, n_vertices: int, name: str) -> list[int]:
    words = line.split()[1:]
    if not 3 <= len(words) <= 4:
        raise _bad(name, "faces of three or four corners", f"{len(words)} corners")
    try:
        corners = [int(word.split(b"/")[0][:12]) for word in words]
    except ValueError as error:
        raise _bad(name, "faces of vertex numbers", f"{line[:40]!r}") from error
    corners = [corner - 1 if corner > 0 else n_vertices + corner for corner in corners]
    if any(not 0 <= corner < n_vertices for corner in corners):
        raise _bad(name, f"faces of vertices 1..{n_vertices}", f"{line[:40]!r}")
    return corners if len(corners) == 4 else [*corners, -1]


def _bad(name: str, expected: str, came: str) -> UserError:
    return UserError(f"{expected} in {name:.60}", came, "take the OBJ files as they are published")


def read_ict_folder(folder: Path) -> dict[str, np.ndarray]:
    """ICT-FaceKit's folder of OBJ files as arrays: the neutral mesh, and every other mesh's distance from it.

    Files called ``identityNNN.obj`` are identity shapes, all others expressions under their own names.

    Returns:
        The arrays that :func:`gaussavatar.head.safe.checks.check_ict` takes.

    Raises:
        UserError: a file is missing, damaged, leads out of the folder, or has another number of vertices.
    """
    if not (folder / NEUTRAL).exists() and (folder / "FaceXModel").is_dir():
        folder = folder / "FaceXModel"
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".obj" and not path.name.startswith("."))
    if not (folder / NEUTRAL).exists():
        raise UserError(
            f"{NEUTRAL} in the folder", f"{len(paths)} other OBJ files", "give the folder FaceXModel of ICT-FaceKit"
        )
    if len(paths) > MAX_FILES:
        raise UserError(f"at most {MAX_FILES} OBJ files in the folder", str(len(paths)), "give the folder FaceXModel")
    neutral = read_obj(read_regular(folder / NEUTRAL, folder, MAX_FILE), NEUTRAL)
    identity, expression, names = [], [], []
    for path in paths:
        if path.name == NEUTRAL:
            continue
        moved = read_vertices(read_regular(path, folder, MAX_FILE), path.name)
        if moved.shape != neutral.vertices.shape:
            raise _bad(path.name, f"the {len(neutral.vertices)} vertices of {NEUTRAL}", str(len(moved)))
        if path.stem.startswith("identity") and path.stem[8:].isdecimal():
            identity.append(moved - neutral.vertices)
        else:
            expression.append(moved - neutral.vertices)
            names.append(path.stem)
    if not identity or not expression:
        raise UserError(
            "OBJ files of identities and of expressions",
            f"{len(identity)} and {len(expression)}",
            "give the folder FaceXModel of ICT-FaceKit as it is published",
        )
    return {
        "v": neutral.vertices,
        "faces": neutral.faces,
        "face_mat": neutral.material,
        "mats": np.array(neutral.materials),
        "identity": np.stack(identity),
        "expr": np.stack(expression),
        "expr_names": np.array(names),
    }


def read_regular(path: Path, folder: Path | None, most: int) -> bytes:
    """The bytes of a plain file.

    Args:
        path: the file.
        folder: where given, the file must lie in it, links followed.
        most: bytes that it may have.

    Raises:
        UserError: it is a device, pipe or folder, leads out of ``folder``, or is too large.
    """
    if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"a file in its folder at {path.name:.60}", "a link that leads elsewhere", "replace the link")
    # Opening a pipe would wait for its other end without O_NONBLOCK.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"a plain file at {path.name:.60}", "a device, pipe or folder", "give the model's own file")
        if status.st_size > most:
            raise UserError(
                f"at most {most >> 20} MiB in {path.name:.60}",
                f"{status.st_size >> 20} MiB",
                "give the model's own file",
            )
        return file.read(most + 1)
