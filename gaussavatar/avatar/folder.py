"""The avatar folder: what it holds, how it is written, and how it is checked when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaussavatar.avatar.finding import HEADER, require_header
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
from gaussavatar.storage import file_digest, read_json, require_plain, write_json

WEIGHTS, UNDER, PLATE = "avatar.safetensors", "under.mp4", "plate.png"
MATTE, TORSO = "matte.mp4", "torso.safetensors"

LARGEST = 2 << 30
"""Bytes of a file of an avatar; the largest of a long clip's has 200 MB."""
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
    require_header(folder)
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
        require_plain(file, LARGEST)
        if not file.exists():
            raise UserError(f"the file {name} in {folder}", "no such file", "restore it or fit the avatar again")
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"the file {name} in {folder}", "a link that leads out of it", "copy the file itself there")
        if file.stat().st_size != entry.get("bytes") or file_digest(file) != entry.get("sha256"):
            raise UserError(f"{name} as it was fitted", "a damaged file", "restore it or fit the avatar again")
    return AvatarFolder(folder, record_from_plain(header, path))
