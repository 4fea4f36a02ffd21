"""``avatar.json`` as a typed record: what an avatar is, whose it is, and which files belong to it.

Version 2 took the knobs of speaking out of the model's part. Version 1 is read as what it meant; a header of a newer
version, or one with fields that this program does not know, is refused rather than misread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from gaussavatar.audio.drive import DriveConfig
from gaussavatar.audio.encoder import EncoderConfig
from gaussavatar.errors import UserError
from gaussavatar.model.config import ModelConfig

FORMAT = "gaussavatar"
TRACK = "track.safetensors"
VERSION = 2
"""Raised when a header of this program could not be read by the program before."""


@dataclass(frozen=True)
class FileEntry:
    """What the header vouches for of one file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class AvatarRecord:
    """The header of an avatar folder."""

    image_size: int
    """Side of the square pictures, pixels."""
    model: ModelConfig
    shapes: dict[str, int]
    """The numbers that fix every tensor's shape besides the config."""
    encoder: EncoderConfig
    """What the avatar hears with."""
    upper_names: tuple[str, ...]
    expression_names: tuple[str, ...] = ()
    """Movements that can be asked for by name; () where the avatar is not bound to a head."""
    drive: DriveConfig = field(default_factory=DriveConfig)
    """How sound becomes motion when the avatar speaks."""
    light: EncoderConfig | None = None
    """The network for pages and live sound, where the avatar carries one beside its best."""
    light_share: float = 0.0
    """Share of the light network in the best answer."""
    static_camera: bool = True
    pose_protocol: str = "landmarks"
    held_out: float = 1 / 11
    """Share of the clip's end that training never saw."""
    subject: str = "unknown"
    """Whose face and voice this is."""
    consent: str = "not recorded"
    source: str = ""
    """Name of the video, without its folder."""
    recipe: str = ""
    seed: int = 0
    program: str = ""
    """Version of the program that made it."""
    synthetic: bool = True
    files: dict[str, FileEntry] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a file belongs to the avatar."""
        return name in self.files

    @property
    def identity(self) -> str:
        """Names the filmed track and the codes of this avatar; "" while it is still being trained."""
        return self.files[TRACK].sha256[:16] if TRACK in self.files else ""

    def with_files(self, files: Mapping[str, FileEntry]) -> AvatarRecord:
        """The same header for other files."""
        return replace(self, files=dict(files))


def record_to_plain(record: AvatarRecord) -> dict[str, Any]:
    """The header as JSON holds it."""
    return {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(record)}


def record_from_plain(header: Mapping[str, Any], path: Path) -> AvatarRecord:
    """Read a header of this version or an older one; ``path`` is named where it cannot be read.

    Raises:
        UserError: a field is missing, unknown or of another kind than it should be.
    """
    values = {name: value for name, value in header.items() if name not in ("format", "version")}
    if header.get("version") == 1:
        values = _from_version_1(values)
    do = "restore the file, update gaussavatar, or fit the avatar again"
    try:
        record = msgspec.convert(values, AvatarRecord)
    except msgspec.ValidationError as error:
        raise UserError(f"the fields of an avatar in {path}", str(error), do) from error
    version = header.get("version")
    counts = isinstance(version, int) and not isinstance(version, bool) and version >= 1
    if not counts or not 16 <= record.image_size <= 8192 or not 0 < record.held_out < 1:
        came = f"version {version}, image_size {record.image_size}, held_out {record.held_out}"
        raise UserError(f"values of an avatar in {path}", came, do)
    unknown = unknown_fields(values, msgspec.to_builtins(record))
    if unknown:
        raise UserError(f"fields of an avatar that this program knows in {path}", ", ".join(unknown), do)
    return record


def _from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """Version 1 kept the gain of the mouth in the model's part, and nothing else of how sound becomes motion."""
    model = values.get("model")
    if not isinstance(model, dict):
        return values
    # A header from before there was a gain spoke with the default of its time.
    rest = {name: value for name, value in model.items() if name != "mouth_gain"}
    drive = {"mouth_gain": model.get("mouth_gain", 1.15)}
    return {**values, "model": rest, "drive": drive}


def unknown_fields(given: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of what ``given`` holds and ``known`` does not."""
    found = []
    for name, value in given.items():
        if name not in known:
            found.append(f"{prefix}{name}")
        elif isinstance(value, Mapping) and isinstance(known[name], Mapping):
            found += unknown_fields(value, known[name], f"{prefix}{name}.")
    return found
