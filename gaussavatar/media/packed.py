"""Frame stores whose frames are packed without loss: pictures to a third of their bytes, masks to a twentieth."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError
from gaussavatar.native.operations import OPERATIONS
from gaussavatar.storage import FrameStore, atomic_path, read_json

_VERSION = 1


def open_frames(path: Path) -> FrameStore:
    """The frame store at ``path``, packed or not.

    Raises:
        UserError: it is missing, damaged, or of a newer version.
    """
    return PackedFrames(path) if "packed" in read_json(_header(path)) else FrameStore(path)


def _header(path: Path) -> Path:
    return path.with_name(path.name + ".json")


class PackedFrames(FrameStore):
    """Frames that :func:`packed_writer` wrote, unpacked one by one as they are read.

    ``path`` holds them one behind the other (:mod:`gaussavatar.native.packing`); ``path`` + ``.json`` the shape
    ``[n, h, w, c]``, where each ends, and the name of the store that they were packed beside, in the same folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        header = read_json(_header(path))
        try:
            version, shape = int(header["packed"]), tuple(int(length) for length in header["shape"])
            ends, beside = np.array(header["ends"], np.int64), header["beside"]
            whole = len(shape) == 4 and min(shape) >= 0 and ends.shape == (shape[0],) and (np.diff(ends) >= 0).all()
            whole &= beside is None or (isinstance(beside, str) and Path(beside).name == beside and beside != path.name)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._damaged(f"a header that lacks or garbles {error}") from error
        if version > _VERSION:
            raise UserError(f"packed frames of version {_VERSION} in {path}", f"{version}", "update gaussavatar")
        size = path.stat().st_size if path.exists() else -1
        if not whole or size != (ends[-1] if len(ends) else 0) or ends[:1].min(initial=0) < 0:
            raise self._damaged(f"{size} bytes and a header of {len(ends)} frames")
        self.shape: tuple[int, int, int, int] = shape  # type: ignore[assignment]
        self._bounds = np.concatenate([[0], ends])
        self._beside = None if beside is None else open_frames(path.with_name(beside))
        if self._beside is not None and self._beside.shape != self.shape:
            raise self._damaged(f"{self.shape} beside {self._beside.shape}")
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """Read one frame.

        Raises:
            UserError: its bytes are damaged.
        """
        return self._unpacked(index, None)

    def read_channel(self, index: int, channel: int) -> UInt8[np.ndarray, "h w"]:
        """Read one channel of one frame, for less than the whole."""
        return self._unpacked(index, channel)[..., 0]

    def _unpacked(self, index: int, channel: int | None) -> UInt8[np.ndarray, "h w k"]:
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"frame {index} of {self.shape[0]}")
        first, last = self._bounds[index : index + 2].tolist()
        packed = np.empty(last - first, np.uint8)
        read = os.preadv(self._descriptor, [packed.data], first) if last > first else 0
        beside = None if self._beside is None else self._beside.read(index)
        try:
            return OPERATIONS["unpack"](packed[:read], self.shape[1:], beside, channel)
        except ValueError as error:
            raise self._damaged(f"frame {index} of {error}") from error

    def _damaged(self, came: str) -> UserError:
        return UserError(f"whole frames in {self.path}", came, "delete the capture folder and run again")


@contextmanager
def packed_writer(
    path: Path, shape: tuple[int, int, int], *, beside: Path | None = None, lasting: bool = True
) -> Iterator[PackedWriter]:
    """Write a :class:`PackedFrames` of frames of ``shape`` (h, w, c), atomically.

    Args:
        path: the store to write.
        shape: of every frame.
        beside: a store in the same folder, of as many frames of the same shape: where a frame equals its, it takes no
            room. It has to stay where it is.
        lasting: see :func:`~gaussavatar.storage.atomic_path`.
    """
    if beside is not None and beside.parent != path.parent:
        raise ValueError(f"{beside} is not in {path.parent}")
    with atomic_path(path, lasting=lasting) as temporary, temporary.open("wb") as file:
        writer = PackedWriter(file, shape, None if beside is None else open_frames(beside))
        yield writer
        file.flush()
        record = {
            "packed": _VERSION,
            "shape": [writer.count, *shape],
            "beside": None if beside is None else beside.name,
            "ends": writer.ends,
        }
        with atomic_path(_header(path), lasting=lasting) as header:
            header.write_text(json.dumps(record) + "\n")


class PackedWriter:
    """Appends frames to an open file; made by :func:`packed_writer`."""

    def __init__(self, file: Any, shape: tuple[int, int, int], beside: FrameStore | None) -> None:
        self._file, self._shape, self._beside = file, shape, beside
        self.ends: list[int] = []

    @property
    def count(self) -> int:
        """Frames so far."""
        return len(self.ends)

    def append(self, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Append one frame."""
        if image.shape != self._shape or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self._shape}, got {image.dtype} {image.shape}")
        beside = None if self._beside is None else self._beside.read(self.count)
        packed = OPERATIONS["pack"](np.ascontiguousarray(image), beside)
        self._file.write(packed.data)
        self.ends.append(len(packed) + (self.ends[-1] if self.ends else 0))
