"""Arrays for the scripts of this folder, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {"float32": "f32", "float16": "f16", "int16": "i16", "int32": "i32", "uint8": "u8"}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None) -> Path:
    """Write arrays as ``arrays.mjs`` reads them; the path to hand to the script."""
    sections, parts, offset = [], [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        entry = {"name": name, "type": KINDS[array.dtype.name], "shape": list(array.shape)}
        sections.append({**entry, "offset": offset, "bytes": len(data)})
        parts.append(data)
        offset += len(data)
    Path(f"{path}.json").write_text(json.dumps({"meta": meta or {}, "sections": sections}))
    Path(f"{path}.bin").write_bytes(b"".join(parts))
    return path


def read_floats(path: Path, width: int) -> np.ndarray:
    """Rows that a script wrote."""
    return np.fromfile(path, np.float32).reshape(-1, width)
