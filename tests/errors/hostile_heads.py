"""Hostile and broken head files, made on the spot: name -> a function that writes one and returns its path.

Where a file tries to run something, it tries to make the file ``canary`` beside it. The cases themselves are in
``hostile_pickles.py``, ``hostile_archives.py`` and ``hostile_folders.py``, which register them here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Build = Callable[[Path], Path]
CASES: dict[str, Build] = {}


def case(build: Build) -> Build:
    """Register a case under its function's name."""
    CASES[build.__name__] = build
    return build


def written(folder: Path, data: bytes, name: str = "flame.pkl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
