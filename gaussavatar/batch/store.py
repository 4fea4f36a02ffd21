"""Files and folders from and to where a batch keeps them: paths of a file system, or addresses that fsspec reaches.

What lies at a path is read and written there; nothing is copied. From a store an input is fetched once, and an output
goes up once: into object stores under its own name, which appears with its last byte; elsewhere under a temporary name
that is then moved. An avatar's ``avatar.json`` goes last, so that half a folder is none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gaussavatar.avatar.finding import CAPTURE, HEADER
from gaussavatar.batch.places import file_name, is_remote
from gaussavatar.errors import UserError
from gaussavatar.locks import wait_for_lock
from gaussavatar.storage import content_key, file_digest

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"})
"""Protocols whose files appear when they are whole, and cannot be moved without being copied."""

NOT_KEPT, STILL_KEPT = ("train/", f"{CAPTURE}/"), (f"{CAPTURE}/head.npz",)
"""What of a fit stays behind unless the whole is wanted (frames, checkpoints), and what does not, for ``export``."""


def opened(place: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        UserError: fsspec is not installed, does not know the protocol, or lacks its package.
    """
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise UserError(
            f"fsspec, which {place} needs", "a Python without", "pip install 'gaussavatar[cluster]'"
        ) from error
    try:
        return url_to_fs(place)
    except ImportError as error:
        raise UserError(f"the package that {place} needs", "none", f"{error}".splitlines()[0]) from error
    except ValueError as error:
        raise UserError("an address that fsspec knows", place, "correct it, or give a path") from error


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what a store answers within the block into one line.

    Raises:
        UserError: the store has no such file, refuses it, or is not there.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"a file at {place}", "none", "check the address") from error
    except PermissionError as error:
        raise UserError(f"leave to use {place}", f"{error}", "check the credentials of this machine") from error
    except OSError as error:
        raise UserError(f"{place} to answer", f"{error}", "check address and network, then run again") from error


def exists(place: str) -> bool:
    """Whether there is anything at a place."""
    if not is_remote(place):
        return os.path.lexists(place)
    fs, path = opened(place)
    with explained(place):
        fs.invalidate_cache()
        return bool(fs.exists(path))


def is_folder(place: str) -> bool:
    """Whether a folder is at a place."""
    if not is_remote(place):
        return os.path.isdir(place)
    fs, path = opened(place)
    with explained(place):
        return bool(fs.isdir(path))


def fingerprint(place: str, known: Callable[[Path], str] = file_digest) -> str:
    """What changes when an input does: a file's bytes, or what its store says of it; of an avatar, its header.

    Args:
        place: a file, or an avatar's folder.
        known: a file's digest.

    Raises:
        UserError: it is not there.
    """
    if not is_remote(place):
        path = Path(place)
        header = path / HEADER
        if not path.exists():
            raise UserError(f"a file at {place}", "no such file", "check the path")
        # The header holds the digest of every other file.
        return known(header if header.is_file() else path) if not path.is_dir() or header.is_file() else "folder"
    fs, path = opened(place)
    with explained(place):
        if fs.isdir(path):
            path = f"{path}/{HEADER}"
        facts = fs.info(path)
    told = [facts.get(name) for name in ("ETag", "etag", "md5", "md5Hash", "size", "mtime", "LastModified", "updated")]
    return content_key(told)


def fetch(place: str, folder: Path, *, whole: bool = True) -> Path:
    """A file or a folder on this machine; one that is at a path stays there.

    Args:
        place: where it is.
        folder: what is fetched goes there.
        whole: of a fit, whether its frames and checkpoints are wanted.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    if not is_remote(place):
        return Path(place)
    fs, path = opened(place)
    target = folder / file_name(place)
    folder.mkdir(parents=True, exist_ok=True)
    with explained(place):
        if not fs.isdir(path):
            fs.get_file(path, str(target))
            return target
        fetch_files(place, target, lambda name: _goes_up(name, whole))
    return target


def fetch_files(place: str, folder: Path, wanted: Callable[[str], bool]) -> None:
    """Those files of a store's folder whose name below it is wanted."""
    fs, path = opened(place)
    with explained(place):
        fs.invalidate_cache()
        for found in fs.find(path):
            name = str(found)[len(path) :].lstrip("/")
            if wanted(name):
                part = folder / name
                part.parent.mkdir(parents=True, exist_ok=True)
                half = part.with_name(f".{part.name}.half")
                fs.get_file(found, str(half))
                half.replace(part)


def fetched_once(place: str, key: str, cache: Path, *, whole: bool = True) -> Path:
    """An input that many rows of a node read: fetched by the first of them, used by all.

    Args:
        place: where it is.
        key: names its contents.
        cache: a folder of this node.
        whole: as for :func:`fetch`.
    """
    if not is_remote(place):
        return Path(place)
    folder = cache / content_key(place, key, whole)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        wait_for_lock(lock.fileno())
        if not folder.is_dir():
            half = folder.with_name(f".{folder.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            fetch(place, half, whole=whole)
            half.rename(folder)
    return folder / file_name(place)


def put(path: Path, place: str, *, whole: bool = True) -> None:
    """Bring a file or folder to its place in a store; what is at a path is there already.

    Args:
        path: what is brought.
        place: where to.
        whole: of a fit, whether its frames and checkpoints go too.

    Raises:
        UserError: the store does not take it.
    """
    if not is_remote(place):
        return
    fs, target = opened(place)
    with explained(place):
        if not path.is_dir():
            _put_file(fs, path, target)
            return
        names = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
        kept = [name for name in names if _goes_up(name, whole)]
        # Until the new header is there, an old one would vouch for files that are no longer its own.
        if HEADER in kept and fs.exists(f"{target}/{HEADER}"):
            fs.rm_file(f"{target}/{HEADER}")
        for name in sorted(kept, key=lambda name: name == HEADER):
            _put_file(fs, path / name, f"{target}/{name}")


def _goes_up(name: str, whole: bool) -> bool:
    if any(part.startswith(".") for part in Path(name).parts):
        return False
    return whole or name in STILL_KEPT or not name.startswith(NOT_KEPT)


def _put_file(fs: Any, path: Path, target: str) -> None:
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    if protocols & OBJECT_STORES:
        fs.put_file(str(path), target)
        return
    parent, _, name = target.rpartition("/")
    fs.makedirs(parent, exist_ok=True)
    half = f"{parent}/.{name}.{os.getpid()}.unfinished"
    try:
        fs.put_file(str(path), half)
        fs.mv(half, target)
    except BaseException:
        if fs.exists(half):
            fs.rm_file(half)
        raise


def remove(place: str) -> None:
    """Remove a file or folder of a store, where it is; never what is at a path."""
    if not is_remote(place):
        return
    fs, path = opened(place)
    with explained(place):
        fs.invalidate_cache()
        if fs.exists(path):
            fs.rm(path, recursive=True)
