"""The heads that a user has installed: where they are, what is known of them, and which one is used."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.head.model import HeadModel, load_head, save_head
from gaussavatar.storage import content_key, file_key, read_json, write_json

BUILT_IN = "built-in"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}")
FLAME_RELEASES = ("FLAME 2023 Open", "FLAME 2023", "FLAME 2020", "FLAME", "FLAME 2023 without jaw")
"""Releases of FLAME, the one to prefer first; "FLAME" is one whose file name does not tell."""


@dataclass(frozen=True)
class InstalledHead:
    """What is recorded of an installed head, in ``NAME.json`` beside ``NAME.npz``.

    ``T_source_template`` (4, 4) takes template space to the source model's own space and unit. ``source_sha256``
    is the file's that it came from (for a folder, of the list of its files' names and hashes); ``key`` is of the
    ``.npz``.
    """

    name: str
    variant: str
    licence: str
    source_file: str
    source_sha256: str
    installed: str
    key: str
    vertices: int
    triangles: int
    identities: int
    expressions: int
    joints: tuple[str, ...]
    T_source_template: tuple[tuple[float, ...], ...]


def heads_folder() -> Path:
    """Where heads are installed: ``$XDG_DATA_HOME/gaussavatar/heads`` or below ``~/.local/share``."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local/share") / "gaussavatar/heads"


def head_path(name: str) -> Path:
    """The file of an installed head.

    Raises:
        UserError: the name cannot be a file's.
    """
    if not NAME.fullmatch(name) or name == BUILT_IN:
        raise UserError(
            "a name of small letters, digits, dots and dashes", repr(name), "choose another, such as flame2023"
        )
    return heads_folder() / f"{name}.npz"


def installed_heads() -> list[InstalledHead]:
    """All installed heads by name.

    Raises:
        UserError: a record is damaged.
    """
    folder = heads_folder()
    records = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [_read_record(path) for path in records if path.with_suffix(".npz").exists()]


def _read_record(path: Path) -> InstalledHead:
    try:
        values = read_json(path)
        values["joints"] = tuple(values["joints"])
        # Records of before the two head spaces had names of their own.
        rows = values.pop("T_source_head", None) or values["T_source_template"]
        values["T_source_template"] = tuple(tuple(row) for row in rows)
        return InstalledHead(**values)
    except (TypeError, KeyError) as error:
        raise UserError(f"the record of a head in {path}", f"{error}", "install the head again") from error


def store_head(head: HeadModel, record: InstalledHead) -> InstalledHead:
    """Write a head and its record into the user's data folder, for the user's eyes only.

    The record is written last: a head without one is not installed. Returns the record with the file's key.
    """
    path = head_path(record.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    side = path.with_suffix(".json")
    side.unlink(missing_ok=True)
    save_head(path, head)
    path.chmod(0o600)
    record = dataclasses.replace(record, key=file_key(path))
    write_json(side, dataclasses.asdict(record))
    side.chmod(0o600)
    return record


def find_head(name: str) -> InstalledHead:
    """The record of an installed head.

    Raises:
        UserError: none of that name is installed.
    """
    heads = {record.name: record for record in installed_heads()}
    if name in heads:
        return heads[name]
    names = [BUILT_IN, *heads]
    close = difflib.get_close_matches(name, names, n=1)
    raise UserError(
        f"the name of a head ({', '.join(names)})",
        repr(name),
        f"did you mean {close[0]}?" if close else "gaussavatar head install PATH installs one",
    )


def remove_head(name: str) -> Path:
    """Delete an installed head; returns the file that is gone.

    Raises:
        UserError: none of that name is installed, or it is the built-in one.
    """
    if name == BUILT_IN:
        raise UserError("the name of an installed head", BUILT_IN, "the built-in head cannot be removed")
    path = head_path(find_head(name).name)
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return path


def default_head_name() -> str:
    """What is used where no head is named: the newest release of FLAME that is installed, else the built-in head."""
    flames = [record for record in installed_heads() if record.variant in FLAME_RELEASES]
    if not flames:
        return BUILT_IN
    # Of the same release, the one installed last.
    newest = sorted(flames, key=lambda record: record.installed, reverse=True)
    return min(newest, key=lambda record: FLAME_RELEASES.index(record.variant)).name


def get_head(name: str | None = None) -> HeadModel:
    """A head by name, with its landmark embedding.

    Args:
        name: ``built-in`` or an installed head's; :func:`default_head_name` when None.

    Raises:
        UserError: no such head is installed, or its file is damaged.
    """
    name = name or default_head_name()
    if name == BUILT_IN:
        from gaussavatar.head.builtin.model import builtin_head

        return builtin_head()
    return load_head(head_path(find_head(name).name))


def head_key(name: str | None = None) -> str:
    """A key of a head's content, for what depends on it; the same arguments as :func:`get_head`."""
    name = name or default_head_name()
    if name == BUILT_IN:
        from gaussavatar.head.builtin.model import VERSION

        return content_key(BUILT_IN, VERSION)
    return find_head(name).key
