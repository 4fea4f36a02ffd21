"""What stands at a path that a user gave; nothing is imported that would make a mistake wait for its answer."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gaussavatar.errors import UserError


def require_file(path: Path, wanted: str = "a media file") -> None:
    """Raise a UserError that says what stands at a path instead of a file that can be read.

    Args:
        path: what was given.
        wanted: what it should be, in words.
    """
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.I):
        do = "download it first, and give the file"
        raise UserError(f"{wanted} of this machine", f"an address ({path})", do)
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise UserError(f"{wanted} at {str(path)[:80]!r}", "what is no path", "check the path") from error
    if not exists:
        raise UserError(f"{wanted} at {path}", "no such file", "check the path")
    if path.is_dir():
        raise UserError(f"{wanted} at {path}", "a folder", "give the file itself")
    if not path.is_file():
        kind = "a pipe" if path.is_fifo() else "a device or socket"
        raise UserError(f"{wanted} at {path}", kind, "write it to a file first: it is read more than once")
    if not os.access(path, os.R_OK):
        raise UserError(f"a readable file at {path}", "no permission to read it", "change its permissions")
    if path.stat().st_size == 0:
        raise UserError(f"{wanted} at {path}", "an empty file", "copy or export the file again")
