"""Which avatar is meant; asked before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path

from gaussavatar.errors import UserError

HEADER, CAPTURE = "avatar.json", "capture"


def find_avatar(avatar: Path | None, base: Path = Path("avatars")) -> Path:
    """The named avatar folder, or the one fitted last below ``base``.

    Raises:
        UserError: there is none.
    """
    if avatar is not None:
        require_header(avatar)
        return avatar
    found = sorted(base.glob(f"*/{HEADER}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(
            "an avatar below ./avatars", "none", "run gaussavatar fit VIDEO first, or name one with --avatar"
        )
    return found[-1].parent


def require_header(folder: Path) -> None:
    """Refuse what is no avatar at first sight.

    Raises:
        UserError: no folder, or none with an avatar's header.
    """
    if not folder.is_dir():
        state = "a file" if folder.exists() else "no such folder"
        raise UserError("an avatar folder", f"{folder} ({state})", "run gaussavatar fit VIDEO first")
    if not (folder / HEADER).exists():
        state = "an unfinished fit" if (folder / CAPTURE).exists() else "no avatar.json"
        raise UserError(f"an avatar in {folder}", state, "run gaussavatar fit again; it continues where it stopped")
