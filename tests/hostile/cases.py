"""What is common to files that a stranger made: a register of cases, and how a good file is changed and sealed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gaussavatar.avatar.folder import HEADER
from gaussavatar.storage import file_digest, read_arrays, write_arrays

Make = Callable[[Path], Path]
"""Makes a case in an empty folder, and says what is to be read."""


@dataclass(frozen=True)
class Case:
    """A file that is to be refused; where it is ``either``, it may also be used, as long as that ends well."""

    kind: str
    make: Make
    must: Literal["refused", "either"]


CASES: dict[str, Case] = {}


def register(name: str, kind: str, make: Make, must: Literal["refused", "either"] = "refused") -> None:
    """Add a case; names are kept apart, for each is a test."""
    assert name not in CASES, name
    CASES[name] = Case(kind, make, must)


def sealed(folder: Path) -> Path:
    """Let an avatar's header vouch for its files as they are now: who makes a bad one has no reason not to."""
    header = json.loads((folder / HEADER).read_text())
    for name, entry in header["files"].items():
        file = folder / name
        if file.is_file():
            entry.update(bytes=file.stat().st_size, sha256=file_digest(file))
    (folder / HEADER).write_text(json.dumps(header))
    return folder


def change_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the plain data of an avatar's header."""
    header = json.loads((folder / HEADER).read_text())
    change(header)
    (folder / HEADER).write_text(json.dumps(header))
    return folder


def change_arrays(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the arrays of a safetensors file; its metadata stay."""
    arrays, facts = read_arrays(path)
    change(arrays)
    write_arrays(path, arrays, facts)


def put(values: Any, dotted: str, value: Any) -> None:
    """Set what stands at a dotted name."""
    *parents, last = dotted.split(".")
    for name in parents:
        values = values[name]
    values[last] = value


HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**9, 2**63, 10**40, 1e308, float("nan"), float("inf"), "", "x" * 100_000,
    "../../../etc/passwd", "\x1b[2J\x00", [], {}, [[[[[[]]]]]], [1] * 100_000, {"a": {"a": {}}}, 1.5, -0.0,
)  # fmt: skip
"""What stands where something else should."""


def swapped_value(values: Any, chance: np.random.Generator) -> None:
    """Put something hostile in a place by chance of nested plain data."""
    while True:
        keys = list(values) if isinstance(values, dict) else range(len(values))
        key = keys[int(chance.integers(len(keys)))]
        inner = values[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.2:
            values[key] = HOSTILE_VALUES[int(chance.integers(len(HOSTILE_VALUES)))]
            return
        values = inner


def flipped(data: bytes, chance: np.random.Generator, most: int = 8) -> bytes:
    """The bytes with a few of them changed, or cut, or with a stretch twice."""
    bad = np.frombuffer(data, np.uint8).copy()
    places = chance.integers(len(bad), size=int(chance.integers(1, most)))
    bad[places] = chance.integers(256, size=len(places))
    if chance.random() < 0.2:
        return bad[: int(chance.integers(len(bad)))].tobytes()
    if chance.random() < 0.2:
        start = int(chance.integers(len(bad)))
        return np.concatenate([bad[:start], bad[start // 2 :]]).tobytes()
    return bad.tobytes()
