"""Digests of the files that rows read, remembered by size and time of change, so that each is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.storage import file_digest, read_json, write_json

NAME = "digests.json"


@contextmanager
def open_digests(folder: Path, *, keep: bool) -> Iterator[Callable[[Path], str]]:
    """A function from a file to its digest; ``keep``: what is new is written into ``folder`` at the end."""
    path = folder / NAME
    try:
        known = read_json(path) if path.is_file() else {}
    except UserError:
        known = {}
    known = known if isinstance(known, dict) else {}
    before = len(known)

    def digest(file: Path) -> str:
        facts = file.stat()
        key = f"{file.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        if not isinstance(known.get(key), str):
            known[key] = file_digest(file)
        return known[key]

    try:
        yield digest
    finally:
        if keep and len(known) > before:
            write_json(path, known)
