"""Files that are either whole or absent: atomic writes, tensors, frame stores, keys."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError
from gaussavatar.locks import KNOWN, lock

_UMASK = os.umask(0)
os.umask(_UMASK)

_UNFINISHED = re.compile(r"\..*\.\d+\.unfinished(\.[^.]*)?", re.DOTALL)
"""Names under which files are written; what is killed meanwhile leaves one behind."""

_SCRATCH = "gaussavatar-scratch-"
"""What the names of all folders of :func:`scratch_folder` begin with; whoever uses one holds its lock."""

_UNTOUCHED = 0
"""When a temporary file says it was written, until somebody writes it."""

_BYTES = getattr(os, "O_BINARY", 0)
"""Windows would take some bytes for ends of lines."""

_swept: set[Path] = set()


@contextmanager
def atomic_path(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    What is under its name outlives a power cut: the bytes are on the disk before the name is, and names come there in
    the order in which they were given. What killed runs have left in the folder is removed.

    Args:
        path: the file to write.
        lasting: False for what no later run reads: it need not wait for the disk.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix}")
    with ExitStack() as held:
        try:
            _make_folder(path.parent)
            if (folder := path.parent.absolute()) not in _swept:
                _swept.add(folder)
                remove_leftovers(folder)
            # Whoever sweeps the folder meanwhile finds a file in use by its lock.
            held.enter_context(locked_new(temporary, held_open=KNOWN))
            yield temporary
            if temporary.stat().st_mtime_ns == _UNTOUCHED:
                raise RuntimeError(f"nothing was written to {path}")
            temporary.chmod(0o666 & ~_UMASK)
            if lasting:
                _to_disk(temporary)
            os.replace(temporary, path)
            if lasting:
                _to_disk(path.parent)
        except OSError as error:
            raise explain_os_error(error, path) from error
        finally:
            # Where the folder could not be made there is nothing to remove.
            with suppress(OSError):
                _insist(partial(temporary.unlink, missing_ok=True))


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs have left half written in a folder; what another process is writing stays."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _UNFINISHED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                where_unlocked(path, path.unlink)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder below the system's temporary one that goes with the block; those that killed runs left go first."""
    parent = Path(tempfile.gettempdir())
    _sweep_scratch(parent)
    folder, descriptor = _new_scratch(parent)
    try:
        yield folder
    finally:
        try:
            _insist(partial(shutil.rmtree, folder, ignore_errors=True))
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _new_scratch(parent: Path) -> tuple[Path, int | None]:
    """A new folder and its locked descriptor, where there are locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        if not KNOWN:
            return folder, None
        descriptor = os.open(folder, os.O_RDONLY)
        lock(descriptor)
        if folder.is_dir():
            return folder, descriptor
        # Another process has taken it for one of the dead before it was locked.
        os.close(descriptor)


def _sweep_scratch(parent: Path) -> None:
    if parent in _swept or not KNOWN:
        return
    _swept.add(parent)
    with suppress(OSError):
        for folder in parent.glob(f"{_SCRATCH}????????"):
            if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                where_unlocked(folder, partial(shutil.rmtree, folder, ignore_errors=True))


def _insist(tidy: Callable[[], object]) -> None:
    """Tidy up to the end, also where an interrupt comes meanwhile."""
    try:
        tidy()
    except KeyboardInterrupt:
        tidy()
        raise


@contextmanager
def locked_new(path: Path, *, held_open: bool = True) -> Iterator[None]:
    """A new, empty file, locked within the block as long as nobody puts another in its place.

    Without ``held_open`` it is only made: systems without locks let no open file be renamed.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BYTES, 0o600)
    try:
        lock(descriptor)
        os.utime(path, ns=(_UNTOUCHED, _UNTOUCHED))
        if held_open:
            yield
    finally:
        os.close(descriptor)
    if not held_open:
        yield


def where_unlocked(path: Path, do: Callable[[], object]) -> None:
    """Call ``do``, holding the lock of ``path``, unless a process holds it that is still at work there."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if lock(descriptor):
                do()
        finally:
            os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that a power cut leaves them there."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _to_disk(folder.parent)


def _to_disk(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk; what cannot be opened is left to itself."""
    try:
        # Windows brings to the disk only what is open for writing, and opens no folder.
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not know it for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def explain_os_error(error: OSError, path: Path) -> Exception:
    """Turn a write error that the user can mend into a :class:`UserError`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError("free disk space", f"a full disk while writing {path}", "free some space and run again")
    if error.errno == errno.EFBIG:
        came = f"one that ends before {path} does"
        return UserError("a place for files of any size", came, "lift the limit, or write to another disk")
    if error.errno == errno.EIO:
        return UserError("a disk that takes what is written", f"an error of the disk at {path}", "look at the disk")
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


_SAFETENSORS_TYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16", "uint32": "U32",
    "int32": "I32", "float32": "F32", "uint64": "U64", "int64": "I64", "float64": "F64",
}  # fmt: skip


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write named numpy arrays and string metadata as safetensors, atomically.

    The format (https://huggingface.co/docs/safetensors): the header's length in eight bytes, a JSON header, the arrays.
    Its own package keeps metadata in a hash's order, and writes beside the path that it is given.
    """
    # In the order of their size, so that each begins at a multiple of it.
    ordered = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    begin = 0
    for name in ordered:
        array = arrays[name]
        end = begin + array.nbytes
        kind = _SAFETENSORS_TYPES[array.dtype.newbyteorder("=").name]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in ordered:
            array = arrays[name]
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)


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
        self._descriptor = os.open(path, os.O_RDONLY | _BYTES)

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
        if hasattr(os, "preadv"):
            os.preadv(self._descriptor, [image.data], index * self._bytes_per_frame)
        else:
            # Threads share the descriptor's position.
            with self.path.open("rb") as file:
                file.seek(index * self._bytes_per_frame)
                file.readinto(image.reshape(-1).data)
        return image

    def read_channel(self, index: int, channel: int) -> UInt8[np.ndarray, "h w"]:
        """Read one channel of one frame."""
        return self.read(index)[..., channel]

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """One frame; with this a store is a sequence of frames."""
        return self.read(index)

    def read_batch(self, indices: Sequence[int]) -> UInt8[np.ndarray, "b h w c"]:
        """Read several frames."""
        return np.stack([self.read(int(index)) for index in indices])


Pictures = FrameStore | np.ndarray
"""Pictures of one size, by number and in turn: on disk, or an array of them."""


class ChosenFrames(FrameStore):
    """Some frames of a store, in an order of their own."""

    def __init__(self, store: FrameStore, indices: Sequence[int] | np.ndarray) -> None:
        self.path, self._store, self._indices = store.path, store, [int(index) for index in indices]
        self.shape = (len(self._indices), *store.shape[1:])

    def read(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """Read one frame."""
        return self._store.read(self._indices[index])


@contextmanager
def frame_writer(path: Path, shape: tuple[int, int, int], *, lasting: bool = True) -> Iterator[FrameWriter]:
    """Write a :class:`FrameStore` of frames of ``shape`` (h, w, c), atomically; ``lasting``: :func:`atomic_path`."""
    with atomic_path(path, lasting=lasting) as temporary, temporary.open("wb") as file:
        writer = FrameWriter(file, shape)
        yield writer
        file.flush()
        with atomic_path(path.with_name(path.name + ".json"), lasting=lasting) as header:
            header.write_text(json.dumps({"shape": [writer.count, *shape]}) + "\n")


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


def arrays_key(*arrays: np.ndarray) -> str:
    """A short hash of arrays, their types and shapes, for work that is done once for the same numbers."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_key(path: Path) -> str:
    """A short hash of a file's bytes that names a stage's input."""
    return file_digest(path)[:16]
