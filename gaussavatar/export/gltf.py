"""The container of binary glTF 2.0 (``.glb``): JSON, and one buffer with all arrays (specification, section 4.4)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussavatar import __version__
from gaussavatar.avatar.mark import Mark

KINDS = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
COMPONENTS = {"f4": 5126, "u1": 5121, "u2": 5123, "u4": 5125}
VERTICES, TRIANGLES = 34962, 34963
"""What a part is for; None where it is for neither, as the times of an animation."""


@dataclass(frozen=True)
class Part:
    """One array of a file: an accessor with a view of its own."""

    array: np.ndarray
    """(count, ...) of float32, uint8, uint16 or uint32."""
    target: int | None = VERTICES
    normalized: bool = False
    """Whether whole numbers stand for 0..1."""
    bounds: bool = False
    """Whether least and largest values are told, as positions and times of keys need."""


def glb_bytes(document: Mapping[str, Any], parts: Sequence[Part], mark: Mark | None = None) -> bytes:
    """A whole file: the document, to which the arrays are added as accessors in their order."""
    views, accessors, blob = [], [], bytearray()
    for index, part in enumerate(parts):
        array = np.ascontiguousarray(part.array)
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        view = {"buffer": 0, "byteOffset": len(blob), "byteLength": len(data)}
        views.append(view if part.target is None else view | {"target": part.target})
        accessor: dict[str, Any] = {
            "bufferView": index,
            "componentType": COMPONENTS[array.dtype.str[1:]],
            "count": len(array),
            "type": KINDS[array.shape[1:]],
        }
        if part.normalized:
            accessor["normalized"] = True
        if part.bounds:
            rows = array.reshape(len(array), -1)
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        accessors.append(accessor)
        blob += data + bytes(-len(data) % 4)
    extras = {"synthetic": True, **(mark.plain() if mark else {})}
    asset = {"version": "2.0", "generator": f"gaussavatar {__version__}", "extras": extras}
    buffer = {"buffers": [{"byteLength": len(blob)}], "bufferViews": views, "accessors": accessors}
    text = json.dumps({"asset": asset, **document, **buffer}, separators=(",", ":")).encode()
    chunks = b""
    for kind, data in ((b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\0", bytes(blob))):
        chunks += struct.pack("<I4s", len(data), kind) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
