"""The export formats by name; a new one is one file, one line in ``FORMATS`` and one in ``_writer``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gaussavatar.errors import UserError

if TYPE_CHECKING:
    from gaussavatar.avatar.player import LoadedAvatar

FORMATS: dict[str, str] = {"ply": "the avatar at rest, as splat viewers and editors read it"}
"""What each format holds; the command line shows this without loading what writes it."""


def export_avatar(avatar: Path, kind: str, out: Path | None) -> tuple[Path, int]:
    """Write an avatar as ``kind``; returns where and how many Gaussians.

    Raises:
        UserError: an unknown format, a damaged avatar, or an output that cannot be written.
    """
    from gaussavatar.avatar.load import load_avatar

    if kind not in FORMATS:
        raise UserError(f"a format: {', '.join(FORMATS)}", repr(kind), "name one of these with --format")
    path = out or Path(f"{avatar.resolve().name}.{kind}")
    if path.is_dir():
        raise UserError("a file name for --out", f"the folder {path}", f"add a name such as avatar.{kind}")
    return path, _writer(kind)(path, load_avatar(avatar))


def _writer(kind: str) -> Callable[[Path, LoadedAvatar], int]:
    """What writes a format; it returns how many Gaussians it wrote."""
    from gaussavatar.export.ply import write_ply

    return {"ply": write_ply}[kind]
