"""The export formats by name; a new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gaussavatar.avatar.player import LoadedAvatar, load_avatar
from gaussavatar.errors import UserError
from gaussavatar.export.ply import write_ply

WRITERS: dict[str, Callable[[Path, LoadedAvatar], int]] = {"ply": write_ply}
"""Writers return how many Gaussians they wrote."""


def export_avatar(avatar: Path, kind: str, out: Path | None) -> tuple[Path, int]:
    """Write an avatar as ``kind``; returns where and how many Gaussians.

    Raises:
        UserError: an unknown format, a damaged avatar, or an output that cannot be written.
    """
    if kind not in WRITERS:
        raise UserError(f"a format: {', '.join(WRITERS)}", repr(kind), "name one of these with --format")
    path = out or Path(f"{avatar.resolve().name}.{kind}")
    if path.is_dir():
        raise UserError("a file name for --out", f"the folder {path}", f"add a name such as avatar.{kind}")
    return path, WRITERS[kind](path, load_avatar(avatar))
