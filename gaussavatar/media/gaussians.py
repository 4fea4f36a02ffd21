"""Files of Gaussians by other programs: the ``.ply`` of 3D Gaussian Splatting, plain and as SuperSplat compresses it.

The header is read strictly and nothing of it is believed: sizes are held against the file before memory is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from gaussavatar.errors import UserError
from gaussavatar.types import Activated

SH_C0 = 0.28209479177387814
"""Value of the constant spherical harmonic, 1 / (2 sqrt(pi))."""

MOST, LONGEST_HEADER = 10_000_000, 1 << 16
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}
PLAIN = (
    *("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
CHUNK = 256
"""Gaussians that share a range in SuperSplat's compressed file."""


@dataclass(frozen=True)
class RawCloud:
    """Gaussians as a file has them: raw values by the names of :data:`PLAIN`, and the triangles they are bound to."""

    columns: Mapping[str, Float[np.ndarray, "n"]]
    binding: Int[np.ndarray, "n"] | None = None
    """Index of the triangle whose own space each one is in, as GaussianAvatars writes it; None where it is none."""

    def stack(self, *names: str) -> Float[np.ndarray, "n k"]:
        """Some columns side by side."""
        return np.stack([self.columns[name] for name in names], axis=1)

    def activated(self) -> Activated:
        """Ready to be drawn; spherical harmonics beyond the constant one are not followed."""
        quats = self.stack("rot_0", "rot_1", "rot_2", "rot_3")
        arrays = (
            self.stack("x", "y", "z"),
            quats / np.linalg.norm(quats, axis=1, keepdims=True),
            np.exp(self.stack("scale_0", "scale_1", "scale_2").clip(-30, 10)),
            1 / (1 + np.exp(-self.columns["opacity"].clip(-30, 30))),
            (0.5 + SH_C0 * self.stack("f_dc_0", "f_dc_1", "f_dc_2")).clip(0, 1),
        )
        return Activated(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


def read_gaussians(path: Path) -> RawCloud:
    """Read a ``.ply`` of Gaussians: ours, of 3DGS and its kin, SuperSplat's plain and compressed ones.

    Raises:
        UserError: no such file, another kind, one that is cut short, of absurd size, or with numbers that are none.
    """
    if not path.is_file():
        raise UserError(f"a ply of Gaussians at {path}", "no such file", "check the path")
    elements = _read_elements(path)
    vertices = elements.get("vertex")
    names = () if vertices is None else (vertices.dtype.names or ())
    if vertices is None or not len(vertices) or not (set(PLAIN) <= set(names) or set(PACKED) <= set(names)):
        raise _wrong(path, "points without Gaussians, or none")
    binding = None
    if set(PLAIN) <= set(names):
        columns = {name: vertices[name].astype(np.float64) for name in PLAIN}
        if "binding_0" in names:
            binding = np.nan_to_num(vertices["binding_0"], nan=-1).astype(np.int64)
    else:
        columns = _unpacked(path, vertices, elements.get("chunk"))
    turned = sum(columns[f"rot_{axis}"] ** 2 for axis in range(4))
    if not all(np.isfinite(column).all() for column in columns.values()) or not (turned > 0).all():
        raise _wrong(path, "numbers that are not finite, or turns that are none")
    return RawCloud(columns, binding)


def _wrong(path: Path, came: str) -> UserError:
    return UserError(f"a ply of Gaussians in {path}", came, "export it again, from a program that writes 3DGS ply")


def _read_elements(path: Path) -> dict[str, np.ndarray]:
    """The rows of every element, by its name."""
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
        found = re.search(rb"\r?\nend_header\r?\n", start)
        if not start.startswith(b"ply") or found is None:
            raise _wrong(path, "another kind of file")
        layout, offset = _layout(path, start[: found.start()]), found.end()
        left, elements = path.stat().st_size - offset, {}
        file.seek(offset)
        for name, count, kind in layout:
            left -= count * kind.itemsize
            if left < 0:
                raise _wrong(path, "a file that is cut short")
            elements[name] = np.fromfile(file, kind, count)
    return elements


def _layout(path: Path, header: bytes) -> list[tuple[str, int, np.dtype]]:
    """Name, number and type of the rows of every element."""
    order, elements = "", []
    for line in header.decode("ascii", "replace").splitlines()[1:]:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", "binary_little_endian" | "binary_big_endian" as kind, "1.0"]:
                order = "<" if "little" in kind else ">"
            case ["element", name, count] if re.fullmatch(r"\d{1,9}", count) and int(count) <= MOST:
                elements.append((name, int(count), []))
            case ["property", kind, name] if kind in _TYPES and elements and len(elements[-1][2]) < 512:
                elements[-1][2].append((name, _TYPES[kind]))
            case _:
                raise _wrong(path, f"a header with {line[:60]!r}")
    for name, _, fields in elements:
        if len({field for field, _ in fields}) != len(fields) or not fields:
            raise _wrong(path, f"an element {name[:40]!r} with no properties, or one of them twice")
    if not order or len({name for name, _, _ in elements}) != len(elements):
        raise _wrong(path, "no binary file, or an element twice")
    return [(name, count, np.dtype([(f, order + kind) for f, kind in fields])) for name, count, fields in elements]


def _unpacked(path: Path, rows: np.ndarray, chunks: np.ndarray | None) -> dict[str, Float[np.ndarray, "n"]]:
    """What SuperSplat's compressed rows stand for: whole numbers between the least and the largest of their chunk."""
    ranges = [f"{end}_{what}" for what in ("x", "y", "z", "scale_x", "scale_y", "scale_z") for end in ("min", "max")]
    if chunks is None or not set(ranges) <= set(chunks.dtype.names or ()) or len(chunks) * CHUNK < len(rows):
        raise _wrong(path, "packed Gaussians without their ranges")
    chunk = chunks[np.arange(len(rows)) // CHUNK]

    def between(what: str, share: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        if f"min_{what}" not in (chunks.dtype.names or ()):
            return share
        low, high = chunk[f"min_{what}"].astype(float), chunk[f"max_{what}"].astype(float)
        return low + (high - low) * share

    columns = {}
    for name, targets in (("position", ("x", "y", "z")), ("scale", ("scale_x", "scale_y", "scale_z"))):
        for target, share in zip(targets, _fields(rows[f"packed_{name}"], (11, 10, 11)), strict=True):
            columns[target] = between(target, share)
    for axis, letter in enumerate("xyz"):
        columns[f"scale_{axis}"] = columns.pop(f"scale_{letter}")
    colors = _fields(rows["packed_color"], (8, 8, 8, 8))
    for axis, letter in enumerate("rgb"):
        columns[f"f_dc_{axis}"] = (between(letter, colors[axis]) - 0.5) / SH_C0
    opacity = colors[3].clip(1e-6, 1 - 1e-6)
    columns["opacity"] = np.log(opacity / (1 - opacity))
    # Two bits say which component is the largest; the others follow in order, in -1..1 over the square root of two.
    largest, *shares = _fields(rows["packed_rotation"], (2, 10, 10, 10))
    which, others = np.round(largest * 3).astype(int), (np.stack(shares, axis=1) - 0.5) * np.sqrt(2)
    quats = np.zeros((len(rows), 4))
    quats[np.arange(4) != which[:, None]] = others.ravel()
    quats[np.arange(len(rows)), which] = np.sqrt((1 - (others**2).sum(axis=1)).clip(1e-12))
    return columns | {f"rot_{axis}": quats[:, axis] for axis in range(4)}


def _fields(words: np.ndarray, bits: Sequence[int]) -> list[Float[np.ndarray, "n"]]:
    """Parts of 32-bit words from the highest bit on, each as 0..1."""
    whole, shift, parts = words.astype(np.uint32), 32, []
    for count in bits:
        shift -= count
        parts.append(((whole >> np.uint32(shift)) & np.uint32((1 << count) - 1)) / ((1 << count) - 1))
    return parts
