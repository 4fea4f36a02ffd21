"""Reading zip and npz files that a stranger made: nothing is unpacked to disk and nothing is trusted about sizes."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np

from gaussavatar.errors import UserError

MAX_MEMBERS = 2000
MAX_PICKLE = 200 << 20
"""Bytes of a pickle in an archive; FLAME's are 50 to 80 MB."""

MAX_ARRAYS = 1400 << 20
"""Bytes of all arrays of an npz together."""

MAX_TEXT = 1 << 20
BLOCK = 1 << 20
FLAME_MEMBERS = ("flame2023_open.pkl", "flame2023.pkl", "generic_model.pkl", "flame2023_no_jaw.pkl")
"""What FLAME's archives call the model, most wanted first."""


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """Open a zip and check its list of members.

    Raises:
        UserError: it is damaged, has far too many members, or one with a name that leads out of a folder.
    """
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _damaged(error) from error
    if len(members) > MAX_MEMBERS:
        raise UserError(f"at most {MAX_MEMBERS} files in an archive", str(len(members)), "give the model's file itself")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]) or "\0" in member.filename:
            raise UserError(
                "an archive whose files stay in its folder",
                f"the name {member.filename!r:.80}",
                "download the archive again from where the model is published",
            )
    return archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """The bytes of one member.

    Raises:
        UserError: it is encrypted, damaged, or larger than ``most`` bytes, whatever the archive says.
    """
    name = member.filename
    if member.flag_bits & 0x1:
        raise UserError("an archive without a password", f"{name!r:.80} is encrypted", "unpack it and give the file")
    if member.file_size > most:
        raise UserError(f"at most {most >> 20} MiB in {name!r:.80}", f"{member.file_size >> 20} MiB", "check the file")
    buffer = io.BytesIO()
    try:
        with archive.open(member) as stream:
            while block := stream.read(BLOCK):
                if buffer.tell() + len(block) > most:
                    raise UserError(f"at most {most >> 20} MiB in {name!r:.80}", "more than it says", "check the file")
                buffer.write(block)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError, struct.error) as error:
        raise _damaged(error) from error
    except (RuntimeError, ImportError) as error:
        raise _damaged(error) from error
    return buffer.getvalue()


def flame_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The pickle of an archive that is the FLAME model to take.

    Raises:
        UserError: there is none, or several of unknown names.
    """
    pickles = [
        member
        for member in archive.infolist()
        if member.filename.lower().endswith(".pkl") and not PurePosixPath(member.filename).name.startswith("._")
    ]
    for wanted in FLAME_MEMBERS:
        for member in pickles:
            if PurePosixPath(member.filename).name.lower() == wanted:
                return member
    if len(pickles) == 1:
        return pickles[0]
    names = ", ".join(member.filename for member in (pickles or archive.infolist())[:4]) or "nothing"
    endings = {PurePosixPath(member.filename).suffix.lower() for member in archive.infolist()}
    do = "unpack it and give the model's file"
    if not pickles and endings & {".zip", ".gz", ".tar", ".7z", ".rar"}:
        do = "unpack the archive inside it first"
    elif not pickles and ".obj" in endings:
        do = "unpack it and give ICT-FaceKit's folder FaceXModel"
    raise UserError(f"one of {', '.join(FLAME_MEMBERS)} in the archive", f"{names!r:.120}", do)


def read_npz(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """All arrays of an npz: numbers, truth values and texts; never objects.

    Raises:
        UserError: a member is no such array, is damaged, or all of them are too large.
    """
    total = sum(member.file_size for member in archive.infolist())
    if total > MAX_ARRAYS:
        raise UserError(f"at most {MAX_ARRAYS >> 20} MiB of arrays", f"{total >> 20} MiB", "check the file")
    arrays: dict[str, np.ndarray] = {}
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            raise UserError("nothing but arrays in an npz", f"the file {member.filename!r:.80}", "check the file")
        key = member.filename.removesuffix(".npy")
        arrays[key] = read_npy(read_member(archive, member, MAX_ARRAYS), key)
    return arrays


def read_npy(data: bytes, name: str) -> np.ndarray:
    """An array from the bytes of an ``.npy`` file; its header decides nothing that the bytes do not bear out.

    Raises:
        UserError: the bytes are no array of numbers, truth values or short texts.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=10_000)
    except (ValueError, TypeError, SyntaxError, EOFError, struct.error, RecursionError, MemoryError) as error:
        raise UserError(
            f"an array called {name:.60}", f"a damaged one ({str(error)[:100]})", "check the file"
        ) from error
    if dtype.hasobject or dtype.kind not in "fiubU" or dtype.subdtype is not None:
        raise UserError(
            f"numbers in the array {name:.60}", f"the type {dtype!s:.60}", "check the file; it was not opened"
        )
    body = len(data) - stream.tell()
    size = dtype.itemsize * math.prod(int(length) for length in shape)
    if any(int(length) < 0 for length in shape) or size != body or (dtype.kind == "U" and size > MAX_TEXT):
        raise UserError(
            f"an array {name:.60} that fits its header", f"{body} bytes for shape {shape}"[:120], "check the file"
        )
    flat = np.frombuffer(data, dtype, offset=stream.tell()) if size else np.zeros(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _damaged(error: Exception) -> UserError:
    return UserError(
        "a whole archive", f"a damaged one ({type(error).__name__}: {str(error)[:100]})", "download the file again"
    )
