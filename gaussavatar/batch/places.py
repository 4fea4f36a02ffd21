"""Places of a batch: absolute paths of this machine's file system, or addresses of a store such as s3://bucket/talk.mp4."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

from gaussavatar.errors import UserError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)


def is_remote(place: str) -> bool:
    """Whether a place is in a store that fsspec reaches, rather than a path."""
    return bool(_ADDRESS.match(place))


def located(word: str, base: str, where: str = "") -> str:
    """A path or address as an absolute one.

    Args:
        word: what a user wrote.
        base: what it is relative to: an absolute path or an address.
        where: for the message.

    Raises:
        UserError: it climbs out of an address.
    """
    if is_remote(word):
        return word.rstrip("/")
    if is_remote(base) and not word.startswith("/"):
        if ".." in PurePosixPath(word).parts:
            raise UserError(f"{where}: a place below {base}", word, "write the whole address")
        return f"{base.rstrip('/')}/{PurePosixPath(word)}"
    return os.path.abspath(os.path.join(base, os.path.expanduser(word)))


def name_of(place: str) -> str:
    """The last part of a place without its ending."""
    return PurePosixPath(place.rstrip("/")).stem or "row"


def file_name(place: str) -> str:
    """The last part of a place."""
    return PurePosixPath(place.rstrip("/")).name


def within(place: str, folder: str) -> bool:
    """Whether a place is a folder, or lies in it."""
    return place == folder or place.startswith(folder.rstrip("/") + "/")
