"""The page's reader of avatar files: what is in them, and what hostile ones end in."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.export.gsa.read import read_gsa

Script = Callable[..., list]
Change = Callable[[dict], object]
MIB = 2**20


def repacked(data: bytes, change: Change, extra: bytes = b"") -> bytes:
    """A file whose header was changed; ``extra`` goes to its end, where sections of the offset ``end`` find it."""
    length = struct.unpack_from("<I", data, 8)[0]
    header = json.loads(data[16 : 16 + length])
    room = length + 4096
    header["sections"] = [{**entry, "offset": entry["offset"] + room - length} for entry in header["sections"]]
    whole = 16 + room + len(data) - 16 - length
    change(header)
    for entry in header["sections"]:
        if entry.get("offset") == "end":
            entry["offset"] = whole
    text = json.dumps(header).encode().ljust(room)
    assert len(text) == room
    tail = data[16 + length :] + extra + bytes(-len(extra) % 4)
    return data[:8] + struct.pack("<II", room, 16 + room + len(tail)) + text + tail


def section(header: dict, name: str) -> dict:
    return next(entry for entry in header["sections"] if entry["name"] == name)


def test_reads_what_python_reads(script: Script, odd_gsa: Path) -> None:
    (found,) = script("read.mjs", odd_gsa)
    sections = read_gsa(odd_gsa).sections
    assert found["sums"].keys() == sections.keys() and any(array.dtype == np.float16 for array in sections.values())
    for name, array in sections.items():
        assert found["sums"][name] == pytest.approx(float(array.astype(float).sum()), rel=1e-5, abs=1e-3), name


def spoilt(data: bytes) -> dict[str, tuple[bytes, str]]:
    """Files that are none, by what is wrong, with a word that the page has to say."""
    length = struct.unpack_from("<I", data, 8)[0]
    bomb = zlib.compress(bytes(64 * MIB), 9)

    def added(name: str, kind: str, shape: list, coding: str, count: int) -> Change:
        entry = {"name": name, "type": kind, "shape": shape, "offset": "end", "bytes": count, "coding": coding}
        return lambda header: header["sections"].append(entry)

    def changed(name: str, **values: object) -> bytes:
        return repacked(data, lambda header: section(header, name).update(values))

    def meta(**values: object) -> bytes:
        return repacked(data, lambda header: header["meta"].update(values))

    def face(**values: object) -> bytes:
        return repacked(data, lambda header: header["meta"]["branches"]["face"].update(values))

    def seven(header: dict) -> None:
        for number in range(7):
            added(f"x{number}", "u8", [40 * MIB], "deflate", len(bomb))(header)

    return {
        "empty": (b"", "no avatar file"),
        "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "no avatar file"),
        "newer": (data[:4] + struct.pack("<I", 2) + data[8:], "version 2"),
        "cut short": (data[:-100], "cut short"),
        "cut in the header": (data[:40], "cut short"),
        "longer": (data + bytes(4), "another length"),
        "header length": (data[:8] + struct.pack("<I", 2**32 - 1) + data[12:], "another length"),
        "no JSON": (data[:16] + b"[" + data[17:], "no JSON"),
        "JSON null": (data[:16] + b"null".ljust(length) + data[16 + length :], "meta"),
        "bomb": (repacked(data, added("x", "u8", [MIB], "deflate", len(bomb)), bomb), "larger than its shape"),
        "claim": (repacked(data, added("x", "u8", [255 * MIB], "deflate", 32), bytes(32)), "another size"),
        "product": (repacked(data, added("x", "f32", [2**28] * 8, "deflate", 32), bytes(32)), "absurd"),
        "sum": (repacked(data, seven, bomb), "256 MiB"),
        "garbage": (repacked(data, added("x", "u8", [64], "deflate", 32), bytes(range(32))), "cannot be inflated"),
        "too little": (repacked(data, added("x", "u8", [200], "deflate", 9), zlib.compress(b"\0")), "smaller"),
        "negative": (changed("camera.K", offset=-4), "absurd"),
        "fraction": (changed("camera.K", shape=[3, 3.5]), "absurd"),
        "outside": (changed("camera.K", offset=2**27), "outside"),
        "in the header": (changed("camera.K", offset=16), "outside"),
        "odd offset": (changed("camera.K", offset=2**20 + 2), "outside"),
        "unknown type": (changed("camera.K", type="f64"), "unknown kind"),
        "prototype's type": (changed("camera.K", type="constructor"), "unknown kind"),
        "shape": (changed("camera.K", shape=[9]), "shape"),
        "missing": (repacked(data, lambda header: header["sections"].remove(section(header, "face.base"))), "missing"),
        "twice": (repacked(data, lambda header: header["sections"].append(section(header, "face.base"))), "one name"),
        "size": (meta(size=10**9), "size"),
        "rate": (meta(fps=0), "rate"),
        "no face": (meta(branches={}), "no face"),
        "places": (meta(torso={"frames": 2, "fps": 25, "places": [0, 10**6]}), "torso"),
        "counts": (face(moving=10**7), "counts"),
        "moves": (face(moves=["position", "position"]), "counts"),
        "branch": (repacked(data, lambda header: header["meta"]["branches"].update(__proto__x={})), "unknown"),
    }  # fmt: skip


def test_hostile_files_end_in_one_sentence(script: Script, odd_gsa: Path, tmp_path: Path) -> None:
    cases = spoilt(odd_gsa.read_bytes())
    paths = [tmp_path / f"{number}.gsa" for number in range(len(cases))]
    for path, (data, _) in zip(paths, cases.values(), strict=True):
        path.write_bytes(data)
    answers = script("read.mjs", *paths)
    for (name, (_, word)), answer in zip(cases.items(), answers, strict=True):
        message = answer.get("error", "it was read")
        assert word in message, f"{name}: {message}"
        assert message.endswith(".") and "\n" not in message and len(message) < 160, name
    assert max(answer["rss"] for answer in answers) < 700 * MIB, "nothing was allocated on a file's word"


def test_bytes_changed_at_random_are_read_or_refused(script: Script, odd_gsa: Path, tmp_path: Path) -> None:
    data, rng = np.frombuffer(odd_gsa.read_bytes(), np.uint8), np.random.default_rng(3)
    paths = [tmp_path / f"{number}.gsa" for number in range(40)]
    for path in paths:
        spoiled = data.copy()
        spoiled[rng.integers(0, 6000, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(spoiled.tobytes())
    answers = script("read.mjs", *paths)
    assert all("sums" in answer or answer["error"].endswith(".") for answer in answers)
    assert sum("error" in answer for answer in answers) > 5
