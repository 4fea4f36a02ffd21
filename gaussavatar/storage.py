"""Files that are either whole or absent: atomic writes, tensors, frame stores, keys."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError

_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        os.replace(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        # Where the folder could not be made there is nothing to remove.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def explain_os_error(error: OSError, path: Path) -> Exception:
    """Turn a write error that the user can mend into a :class:`UserError`."""
    if error.errno == errno.ENOSPC:
        return UserError("free disk space", f"a full disk while writing {path}", "free some space and run again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return UserError(
            "a writable output path",
            f"{path} ({os.strerror(error.errno)})",
            "choose another --out",
        )
    return error


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def require_plain(path: Path, most: int) -> None:
    """Refuse what cannot be read to its end: pipes, devices, and files beyond all measure. What is missing passes.

    Raises:
        UserError: it is no plain file, or has more than ``most`` bytes.
    """
    try:
        facts = path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"a file at {path}", "a link to itself", "give the file itself") from error
        return
    if stat.S_ISDIR(facts.st_mode):
        raise UserError(f"a file at {path}", "a folder", "name a file")
    if not stat.S_ISREG(facts.st_mode):
        raise UserError(f"a file at {path}", "a pipe or device", "save it as a file first")
    if facts.st_size > most:
        came = f"one of {facts.st_size >> 20} MiB"
        raise UserError(f"a file of at most {most >> 20} MiB at {path}", came, "give the right file")


MOST_JSON = 64 << 20
"""Bytes of JSON that are read; curves of an hour are a third of it."""


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    require_plain(path, MOST_JSON)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"the file {path.name} in {path.parent}", "no such file", "run the command that made the folder again"
        ) from error
    # Python refuses numbers of thousands of digits with a plain ValueError.
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"JSON in {path}", f"a damaged file ({error})", "delete it and run again, or restore it"
        ) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write named numpy arrays and string metadata as safetensors, atomically."""
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            temporary,
            metadata=dict(metadata or {}),
        )
        _order_metadata(temporary)


def _order_metadata(path: Path) -> None:
    """Rewrite a safetensors header with its metadata in order of name: the writer keeps them in a hash's order.

    The header is JSON behind its length in eight bytes (safetensors' format page). The same members in another order
    are as long as before, so the arrays stay where they are.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if metadata := header.get("__metadata__"):
            header["__metadata__"] = dict(sorted(metadata.items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise RuntimeError(f"a safetensors header of {len(text)} bytes where {length} were written")
        file.seek(8)
        file.write(text.ljust(length))


MOST_ARRAYS = 64 << 30
"""Bytes of arrays that are read: those of hours of video have a few gigabytes."""


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file: arrays by name, and its string metadata.

    Raises:
        UserError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    require_plain(path, MOST_ARRAYS)
    try:
        with safe_open(path, framework="numpy") as handle:
            arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
            return arrays, dict(handle.metadata() or {})
    except FileNotFoundError as error:
        raise UserError(
            f"the file {path.name} in {path.parent}", "no such file", "run the command that made the folder again"
        ) from error
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"a safetensors file at {path}", f"a damaged file ({error})", "delete it and run again, or restore it"
        ) from error


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON object, and its brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32


class FrameStore:
    """Equal-sized uint8 images in one flat file, read by position so that memory stays bounded.

    ``path`` holds the bytes, ``path`` + ``.json`` the shape ``[n, h, w, c]``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        header = read_json(path.with_name(path.name + ".json"))
        self.shape: tuple[int, int, int, int] = tuple(header["shape"])  # type: ignore[assignment]
        self._bytes_per_frame = int(np.prod(self.shape[1:]))
        size = path.stat().st_size if path.exists() else -1
        if size != self._bytes_per_frame * self.shape[0]:
            raise UserError(
                f"{self.shape[0]} frames in {path}", f"{size} bytes", "delete the capture folder and run again"
            )
        self._descriptor = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        return self.shape[0]

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """Read one frame."""
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"frame {index} of {self.shape[0]}")
        image = np.empty(self.shape[1:], np.uint8)
        os.preadv(self._descriptor, [image.data], index * self._bytes_per_frame)
        return image

    def read_rows(self, index: int, rows: Sequence[int] | np.ndarray) -> UInt8[np.ndarray, "r w c"]:
        """Read some rows of one frame."""
        width = self._bytes_per_frame // self.shape[1]
        image = np.empty((len(rows), *self.shape[2:]), np.uint8)
        for place, row in enumerate(rows):
            os.preadv(self._descriptor, [image[place].data], index * self._bytes_per_frame + int(row) * width)
        return image

    def read_batch(self, indices: Sequence[int]) -> UInt8[np.ndarray, "b h w c"]:
        """Read several frames."""
        return np.stack([self.read(int(index)) for index in indices])


@contextmanager
def frame_writer(path: Path, shape: tuple[int, int, int]) -> Iterator[FrameWriter]:
    """Write a :class:`FrameStore` of frames of ``shape`` (h, w, c), atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        writer = FrameWriter(file, shape)
        yield writer
        file.flush()
        write_json(path.with_name(path.name + ".json"), {"shape": [writer.count, *shape]})


class FrameWriter:
    """Appends frames to an open file; made by :func:`frame_writer`."""

    def __init__(self, file: Any, shape: tuple[int, int, int]) -> None:
        self._file = file
        self._shape = shape
        self.count = 0

    def append(self, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Append one frame."""
        if image.shape != self._shape or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self._shape}, got {image.dtype} {image.shape}")
        self._file.write(np.ascontiguousarray(image).data)
        self.count += 1


def content_key(*parts: Any) -> str:
    """A short hash of plain data (JSON) that names a stage's inputs."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_key(path: Path) -> str:
    """A short hash of a file's bytes that names a stage's input."""
    return file_digest(path)[:16]
