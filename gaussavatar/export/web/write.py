"""A page that talks: one HTML file, or a folder with page, player and avatar file (docs/web.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.container import unpack
from gaussavatar.export.gsa.file import avatar_file
from gaussavatar.export.web.page import AVATAR_FILE, page, player_module, player_script, sources, split_page
from gaussavatar.media.mp3 import read_as_mp3
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path, remove_leftovers

FILES = ("index.html", "player.js", "player.mjs", AVATAR_FILE)
"""Of a folder: the page, the player for a script tag and as a module, the avatar."""

MOST_SOUND = 20_000_000
"""Bytes of a sound in a page, about half an hour: a browser reads the whole file before it shows anything."""


def write(
    path: Path,
    avatar: LoadedAvatar,
    motion: MotionTrack,
    *,
    tell: Callable[[str], None],
    quality: str,
    force: bool,
    features: str,
    audio: Path | None,
    split: bool,
) -> int:
    """Write the page; returns the number of Gaussians.

    Args:
        path: the HTML file, or the folder.
        avatar: who.
        motion: not used: the page has the avatar's own filmed track.
        tell: is told size and quality of the avatar's file before anything is written.
        quality: small, normal or full.
        force: see :func:`gaussavatar.export.gsa.file.avatar_file`.
        features: see there.
        audio: a sound that visitors can play.
        split: a folder instead of one file.

    Raises:
        UserError: see :func:`gaussavatar.export.gsa.file.avatar_file`; a sound that cannot be read; a folder that holds
            something else; or no room to write.
    """
    if split:
        check_folder(path)
    found = sources()
    sections, facts = sound_inside(audio)
    made = avatar_file(avatar, quality, force, features, sections, facts)
    for line in made.said:
        tell(line)
    meta = unpack(made.data)[0]
    texts = {
        "index.html": split_page(found, meta),
        "player.js": player_script(found),
        "player.mjs": player_module(found),
    }
    files = {path / name: text.encode() for name, text in texts.items()} | {path / AVATAR_FILE: made.data}
    if not split:
        files = {path: page(found, meta, made.data).encode()}
    for file, data in files.items():
        with atomic_path(file) as temporary:
            temporary.write_bytes(data)
    tell(f"the page: {sum(map(len, files.values())) / 1e6:.2f} MB")
    return made.count


def sound_inside(audio: Path | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A sound as a section of the avatar file, and what its header says of it."""
    if audio is None:
        return {}, {}
    data = np.frombuffer(read_as_mp3(audio), np.uint8)
    if len(data) > MOST_SOUND:
        came = f"{len(data) / 1e6:.0f} MB of {audio.name}"
        raise UserError(f"a sound of at most {MOST_SOUND / 1e6:.0f} MB as MP3 in a page", came, "give a shorter one")
    return {"audio.file": data}, {"audio": {"name": audio.stem, "type": "audio/mpeg"}}


def check_folder(path: Path) -> None:
    """Refuse a folder that holds anything but an earlier page.

    Raises:
        UserError: it does.
    """
    remove_leftovers(path)
    others = sorted({file.name for file in path.iterdir()} - set(FILES)) if path.is_dir() else []
    if others:
        do = "name another folder with --out"
        raise UserError("an empty folder, or one of an earlier page", f"{path} with {others[0]} in it", do)
