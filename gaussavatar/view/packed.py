"""An avatar's file for the browser beside the avatar: found at once, without loading anything."""

from __future__ import annotations

from pathlib import Path

PACKED = "web.gsa"


def packed_path(folder: Path) -> Path | None:
    """The file for the browser that was made of an avatar as it is now; None where there is none."""
    path, header = folder / PACKED, folder / "avatar.json"
    try:
        return path if path.stat().st_mtime_ns >= header.stat().st_mtime_ns else None
    except OSError:
        return None
