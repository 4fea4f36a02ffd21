"""What a power cut may leave of a folder: nothing that was not brought to the disk is believed.

The model is that of a journaling file system at its worst: bytes that no fsync has followed are gone, and so is every
name, removal and folder that no fsync of the folder around it has followed, or they are there without their bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

State = tuple[int, int, int]


def state_of(path: Path) -> State:
    """What tells a file that was written to from one that was not: inode, size, time."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def states(folder: Path) -> set[State]:
    """Of every file below a folder."""
    return {state_of(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def cut_power(root: Path, journal: Path, shadow: Path, before: set[State], names_lost: bool) -> int:
    """Turn what a killed program left below ``root`` into what a power cut at that moment may leave.

    Args:
        root: the watched folder; no process writes there any more.
        journal: of the program (:mod:`tests.soak.child`).
        shadow: second names of what was replaced and removed.
        before: files as they were before the program began, which are on the disk.
        names_lost: whether names that were not brought to the disk are lost; else only bytes are.

    Returns:
        How many files lost their bytes or their name.
    """
    entries = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    known = before | {tuple(entry["state"]) for entry in entries if entry["op"] == "sync"}
    lost = 0
    if names_lost:
        for index in range(len(entries) - 1, -1, -1):
            if entries[index]["op"] in _UNDOING and not _followed(entries, index):
                lost += _UNDOING[entries[index]["op"]](entries[index], shadow)
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size and state_of(path) not in known:
            os.truncate(path, 0)
            lost += 1
    return lost


def _followed(entries: list[dict[str, Any]], index: int) -> bool:
    """Whether the folder that holds an operation's name was brought to the disk after it."""
    folder = os.path.dirname(entries[index]["path"])
    return any(entry["op"] == "sync" and entry["path"] == folder for entry in entries[index + 1 :])


def _undo_name(entry: dict[str, Any], shadow: Path) -> int:
    path = Path(entry["path"])
    if os.path.lexists(entry["source"]) or not path.exists():
        return 0
    path.unlink()
    if "shadow" in entry:
        os.link(shadow / entry["shadow"], path)
    return 1


def _undo_remove(entry: dict[str, Any], shadow: Path) -> int:
    path = Path(entry["path"])
    if path.exists() or "shadow" not in entry or not path.parent.is_dir():
        return 0
    os.link(shadow / entry["shadow"], path)
    return 1


def _undo_folder(entry: dict[str, Any], shadow: Path) -> int:
    path = Path(entry["path"])
    if not path.is_dir():
        return 0
    shutil.rmtree(path)
    return 1


_UNDOING = {"name": _undo_name, "remove": _undo_remove, "folder": _undo_folder}
