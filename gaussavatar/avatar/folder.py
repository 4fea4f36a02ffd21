"""The avatar folder: what it holds, how it is written, and how it is checked when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaussavatar.avatar.record import (
    FORMAT,
    TRACK,
    VERSION,
    AvatarRecord,
    FileEntry,
    record_from_plain,
    record_to_plain,
)
from gaussavatar.errors import UserError
from gaussavatar.storage import file_digest, read_json, write_json

HEADER = "avatar.json"
WEIGHTS, UNDER, PLATE = "avatar.safetensors", "under.mp4", "plate.png"
MATTE, TORSO = "matte.mp4", "torso.safetensors"
CAPTURE = "capture"
"""Folder of the clip that an avatar was fitted to; only measuring needs it."""

FILES = (WEIGHTS, TRACK, UNDER, PLATE)
OPTIONAL = (MATTE, TORSO)
"""Files that older avatars, or those without a torso branch, do not have."""


@dataclass(frozen=True)
class AvatarFolder:
    """A checked avatar folder."""

    path: Path
    record: AvatarRecord


def write_record(folder: Path, record: AvatarRecord) -> AvatarRecord:
    """Write ``avatar.json`` last, with the digest of every other file, so that it vouches for them."""
    names = (*FILES, *(name for name in OPTIONAL if (folder / name).exists()))
    files = {name: FileEntry(file_digest(folder / name), (folder / name).stat().st_size) for name in names}
    whole = record.with_files(files)
    write_json(folder / HEADER, record_to_plain(whole))
    return whole


def open_folder(folder: Path) -> AvatarFolder:
    """Check an avatar folder.

    Raises:
        UserError: not an avatar, a newer version, or a missing or damaged file.
    """
    if not folder.is_dir():
        state = "a file" if folder.exists() else "no such folder"
        raise UserError("an avatar folder", f"{folder} ({state})", "run gaussavatar fit VIDEO first")
    if not (folder / HEADER).exists():
        state = "an unfinished fit" if (folder / CAPTURE).exists() else "no avatar.json"
        raise UserError(f"an avatar in {folder}", state, "run gaussavatar fit again; it continues where it stopped")
    path = folder / HEADER
    header = read_json(path)
    if not isinstance(header, dict) or header.get("format") != FORMAT or not isinstance(header.get("version"), int):
        raise UserError(f"a gaussavatar header in {path}", "something else", "fit the avatar again")
    if header["version"] > VERSION:
        raise UserError(
            f"an avatar of version {VERSION} or older", f"version {header['version']}", "update gaussavatar"
        )
    listed = header.get("files", {})
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        raise UserError(f"a list of files in {path}", "something else", "restore it or fit the avatar again")
    for name in (*FILES, *(name for name in OPTIONAL if name in listed)):
        file, entry = folder / name, listed.get(name, {})
        if not file.exists():
            raise UserError(f"the file {name} in {folder}", "no such file", "restore it or fit the avatar again")
        if file.stat().st_size != entry.get("bytes") or file_digest(file) != entry.get("sha256"):
            raise UserError(f"{name} as it was fitted", "a damaged file", "restore it or fit the avatar again")
    return AvatarFolder(folder, record_from_plain(header, path))


def find_avatar(avatar: Path | None, base: Path = Path("avatars")) -> Path:
    """The named avatar folder, or the one fitted last below ``base``.

    Raises:
        UserError: there is none.
    """
    if avatar is not None:
        return avatar
    found = sorted(base.glob(f"*/{HEADER}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(
            "an avatar below ./avatars", "none", "run gaussavatar fit VIDEO first, or name one with --avatar"
        )
    return found[-1].parent
