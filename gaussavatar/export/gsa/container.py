"""Bytes of a ``.gsa`` file to named arrays and back. Whatever comes in may be hostile.

A header of 16 bytes, JSON that says which sections there are, and the sections; docs/gsa.md has it byte by byte.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussavatar.errors import UserError

MAGIC, VERSION = b"GSAV", 1
HEADER = struct.Struct("<4sIII")
"""Magic, version, bytes of the JSON, bytes of the file."""
MOST_JSON, MOST_SECTIONS, MOST_DECODED = 1 << 20, 256, 1 << 28
"""Bytes of JSON, sections, and bytes that all sections together may decode to."""
TYPES = {"f32": "<f4", "f16": "<f2", "i8": "|i1", "u8": "|u1", "u16": "<u2", "i32": "<i4"}
"""Names of the types of elements, and what numpy calls them."""
_MOST_AXES = 8
_NAMES = {np.dtype(code): name for name, code in TYPES.items()}
_DO = "export the avatar again"


@dataclass(frozen=True)
class Section:
    """Where a section lies and how it is stored, as checked."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    stored: int
    deflated: bool

    @property
    def decoded(self) -> int:
        """Bytes once it is decoded."""
        return math.prod(self.shape) * self.dtype.itemsize


def pack(meta: Mapping[str, Any], sections: Mapping[str, np.ndarray], raw: Sequence[str] = ()) -> bytes:
    """A file of ``meta`` and the arrays; those named in ``raw`` are stored as they are, the others where it helps.

    Raises:
        ValueError: an array of another type than :data:`TYPES`, or more than a reader would take.
    """
    stored: list[tuple[dict[str, Any], bytes]] = []
    for name, array in sections.items():
        plain = np.ascontiguousarray(array)
        if plain.dtype not in _NAMES:
            raise ValueError(f"{name}: {plain.dtype} is none of {', '.join(TYPES)}")
        data = plain.tobytes()
        small = data if name in raw else deflated_smallest(data)
        deflated = len(small) < len(data)
        entry = {"name": name, "type": _NAMES[plain.dtype], "shape": list(plain.shape)}
        stored.append(({**entry, "coding": "deflate" if deflated else "raw"}, small if deflated else data))
    text = _header_text(meta, stored)
    start = HEADER.size + len(text)
    parts = [_padded(data) for _, data in stored]
    whole = start + sum(map(len, parts))
    if len(text) > MOST_JSON or len(stored) > MOST_SECTIONS:
        raise ValueError(f"{len(text)} bytes of JSON for {len(stored)} sections")
    return HEADER.pack(MAGIC, VERSION, len(text), whole) + text + b"".join(parts)


CODERS = ((zlib.Z_DEFAULT_STRATEGY, 8), (zlib.Z_HUFFMAN_ONLY, 7))
"""Strategy and memory level: repetition, or numbers without any, whose distribution changes from row to row."""


def deflated_smallest(data: bytes) -> bytes:
    """A zlib stream of the data, by whichever of :data:`CODERS` makes it smallest."""
    made = []
    for strategy, memory in CODERS:
        coder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, memory, strategy)
        made.append(coder.compress(data) + coder.flush())
    return min(made, key=len)


def _header_text(meta: Mapping[str, Any], stored: Sequence[tuple[dict[str, Any], bytes]]) -> bytes:
    """The JSON. Offsets count from the file's start, so that its own length has to be known: it is found by trying."""
    length = 0
    while True:
        offset, entries = HEADER.size + length, []
        for entry, data in stored:
            entries.append({**entry, "offset": offset, "bytes": len(data)})
            offset += len(data) + -len(data) % 4
        text = json.dumps({"meta": meta, "sections": entries}, separators=(",", ":"), allow_nan=False).encode()
        if len(text) <= length:
            return text.ljust(length)
        length = len(text) + -len(text) % 4


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def unpack(data: bytes, name: str = "the file") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """``meta`` and the arrays of a file's bytes; everything is checked before anything is allocated for it.

    Args:
        data: the whole file.
        name: what messages call it.

    Raises:
        UserError: it is no such file, of a newer version, cut short, or says what cannot be.
    """
    header, start = _header(data, name)
    meta, listed = header.get("meta"), header.get("sections")
    if not isinstance(meta, dict) or not isinstance(listed, list) or len(listed) > MOST_SECTIONS:
        raise _damaged(name, "a header without meta, or without a sane list of sections")
    sections = [_section(entry, start, len(data), name) for entry in listed]
    if len({section.name for section in sections}) < len(sections):
        raise _damaged(name, "two sections of one name")
    if sum(section.decoded for section in sections) > MOST_DECODED:
        raise _damaged(name, f"sections of more than {MOST_DECODED >> 20} MiB")
    return meta, {section.name: _decoded(section, data, name) for section in sections}


def _header(data: bytes, name: str) -> tuple[dict[str, Any], int]:
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise UserError(f"an avatar file (.gsa) in {name}", "another kind of file", "write one with gaussavatar export")
    _, version, length, whole = HEADER.unpack_from(data)
    if version > VERSION:
        raise UserError(f"an avatar file of version {VERSION} in {name}", f"version {version}", "update gaussavatar")
    if version == 0 or whole != len(data) or length > min(MOST_JSON, len(data) - HEADER.size):
        raise _damaged(name, f"{len(data)} bytes where the header says {whole}")
    start = HEADER.size + length
    try:
        header = json.loads(data[HEADER.size : start].decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, "a header that is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged(name, "a header that is no object")
    return header, start


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} in JSON")


def _section(entry: Any, start: int, whole: int, name: str) -> Section:
    """An entry of the list of sections, checked."""
    if not isinstance(entry, dict):
        raise _damaged(name, "a section that is no object")
    label, kind, shape = entry.get("name"), entry.get("type"), entry.get("shape")
    offset, stored, coding = entry.get("offset"), entry.get("bytes"), entry.get("coding")
    sane = isinstance(label, str) and isinstance(kind, str) and kind in TYPES and coding in ("raw", "deflate")
    if (
        not sane
        or not isinstance(shape, list)
        or len(shape) > _MOST_AXES
        or not all(map(_count, (offset, stored, *shape)))
    ):
        raise _damaged(name, f"a section of unknown kind ({str(label)[:40]})")
    section = Section(label, np.dtype(TYPES[kind]), tuple(shape), offset, stored, coding == "deflate")
    inside = section.offset >= start and section.offset % 4 == 0 and section.offset + section.stored <= whole
    if not inside or section.decoded > MOST_DECODED or (not section.deflated and section.stored != section.decoded):
        raise _damaged(name, f"{label[:40]} outside the file, or of another size than its shape")
    return section


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_DECODED


def _decoded(section: Section, data: bytes, name: str) -> np.ndarray:
    part = memoryview(data)[section.offset : section.offset + section.stored]
    if section.deflated:
        inflate = zlib.decompressobj()
        try:
            # One byte more than there should be shows that there is more, without ever making it.
            part = inflate.decompress(part, section.decoded + 1)
        except zlib.error as error:
            raise _damaged(name, f"{section.name[:40]} that cannot be inflated") from error
        if len(part) != section.decoded or not inflate.eof:
            raise _damaged(name, f"{section.name[:40]} of another size than its shape")
    array = np.frombuffer(part, section.dtype).reshape(section.shape)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _damaged(name, f"NaN or infinity in {section.name[:40]}")
    return array


def _damaged(name: str, came: str) -> UserError:
    return UserError(f"a whole avatar file in {name}", f"a damaged one ({came})", _DO)
