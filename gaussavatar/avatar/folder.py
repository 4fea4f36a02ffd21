"""The avatar folder: what it holds, how it is written, and how it is checked when it is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussavatar.errors import UserError
from gaussavatar.storage import read_json, write_json

FORMAT = "gaussavatar"
VERSION = 1
"""Raised when a folder of this program could not be read by the program before."""

WEIGHTS, TRACK, UNDER, PLATE = "avatar.safetensors", "track.safetensors", "under.mp4", "plate.png"
MATTE, TORSO = "matte.mp4", "torso.safetensors"
FILES = (WEIGHTS, TRACK, UNDER, PLATE)
OPTIONAL = (MATTE, TORSO)
"""Files that older avatars, or those without a torso branch, do not have."""


@dataclass(frozen=True)
class AvatarFolder:
    """A checked avatar folder."""

    path: Path
    header: dict[str, Any]


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_header(folder: Path, header: dict[str, Any]) -> None:
    """Write ``avatar.json`` last, with the digest of every other file, so that it vouches for them."""
    names = (*FILES, *(name for name in OPTIONAL if (folder / name).exists()))
    files = {name: {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    write_json(folder / "avatar.json", {"format": FORMAT, "version": VERSION, **header, "files": files})


def open_folder(folder: Path) -> AvatarFolder:
    """Check an avatar folder.

    Raises:
        UserError: not an avatar, a newer version, or a missing or damaged file.
    """
    if not folder.is_dir():
        raise UserError("an avatar folder", f"{folder} (no such folder)", "run gaussavatar fit VIDEO first")
    if not (folder / "avatar.json").exists():
        state = "an unfinished fit" if (folder / "capture").exists() else "no avatar.json"
        raise UserError(f"an avatar in {folder}", state, "run gaussavatar fit again; it continues where it stopped")
    header = read_json(folder / "avatar.json")
    if not isinstance(header, dict) or header.get("format") != FORMAT or not isinstance(header.get("version"), int):
        raise UserError(f"a gaussavatar header in {folder / 'avatar.json'}", "something else", "fit the avatar again")
    if header["version"] > VERSION:
        raise UserError(
            f"an avatar of version {VERSION} or older", f"version {header['version']}", "update gaussavatar"
        )
    listed = header.get("files", {})
    for name in (*FILES, *(name for name in OPTIONAL if name in listed)):
        path, entry = folder / name, listed.get(name, {})
        if not path.exists():
            raise UserError(f"the file {name} in {folder}", "no such file", "restore it or fit the avatar again")
        if path.stat().st_size != entry.get("bytes") or file_digest(path) != entry.get("sha256"):
            raise UserError(f"{name} as it was fitted", "a damaged file", "restore it or fit the avatar again")
    return AvatarFolder(folder, header)


def has_file(header: dict[str, Any], name: str) -> bool:
    """Whether an avatar has one of the :data:`OPTIONAL` files."""
    return name in header.get("files", {})


def find_avatar(avatar: Path | None, base: Path = Path("avatars")) -> Path:
    """The named avatar folder, or the one fitted last below ``base``.

    Raises:
        UserError: there is none.
    """
    if avatar is not None:
        return avatar
    found = sorted(base.glob("*/avatar.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(
            "an avatar below ./avatars", "none", "run gaussavatar fit VIDEO first, or name one with --avatar"
        )
    return found[-1].parent
