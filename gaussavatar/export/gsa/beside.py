"""An avatar's file for the browser beside the avatar: found at once, without loading anything."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gaussavatar.errors import UserError

if TYPE_CHECKING:
    from gaussavatar.avatar.player import LoadedAvatar

PACKED = "web.gsa"


def packed_path(folder: Path) -> Path | None:
    """The file for the browser that was made of an avatar as it is now; None where there is none."""
    path, header = folder / PACKED, folder / "avatar.json"
    try:
        return path if path.stat().st_mtime_ns >= header.stat().st_mtime_ns else None
    except OSError:
        return None


def pack_beside(folder: Path, loaded: LoadedAvatar) -> bytes:
    """Make the avatar's file for the browser, and keep it where the folder can be written.

    Raises:
        UserError: the avatar cannot be drawn by a browser.
    """
    from gaussavatar.export.gsa.file import avatar_file
    from gaussavatar.storage import atomic_path

    data = avatar_file(loaded, "full", force=True).data
    # A folder that is only read: the next viewer makes the file again.
    with suppress(UserError), atomic_path(folder / PACKED) as temporary:
        temporary.write_bytes(data)
    return data
