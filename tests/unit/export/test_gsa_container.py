"""Bytes of a ``.gsa`` file: what goes in comes out, and whatever is wrong with them ends in one line, at once."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.export.gsa.container import HEADER, MOST_DECODED, deflated_smallest, pack, unpack
from gaussavatar.export.gsa.quantise import ranged, stepped, unranged, unstepped

ARRAYS = {
    "small": np.arange(7, dtype=np.uint8),
    "floats": np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 3, 2),
    "zeros": np.zeros((100, 10), np.int8),
    "half": np.ones(3, np.float16),
    "empty": np.zeros((0, 4), np.uint16),
    "whole": np.array([-5, 1 << 30], np.int32),
}
META = {"subject": "Zoë", "numbers": [1.5, None, True]}


def test_arrays_and_meta_come_back_as_they_were() -> None:
    meta, sections = unpack(pack(META, ARRAYS, raw=["zeros"]))
    assert meta == META and list(sections) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert sections[name].dtype == array.dtype
        np.testing.assert_array_equal(sections[name], array)


def test_layout_is_the_one_that_is_written_down() -> None:
    data = pack(META, ARRAYS)
    magic, version, length, whole = struct.unpack("<4sIII", data[:16])
    assert (magic, version, whole, length % 4) == (b"GSAV", 1, len(data), 0)
    header = json.loads(data[16 : 16 + length])
    entries = {entry["name"]: entry for entry in header["sections"]}
    assert all(entry["offset"] % 4 == 0 and entry["offset"] >= 16 + length for entry in entries.values())
    zeros, floats = entries["zeros"], entries["floats"]
    assert zeros["coding"] == "deflate" and zeros["bytes"] < 1000 and zeros["shape"] == [100, 10]
    assert zlib.decompress(data[zeros["offset"] :][: zeros["bytes"]]) == bytes(1000)
    assert floats["type"] == "f32"
    assert len(pack(META, ARRAYS)) < len(pack(META, ARRAYS, raw=["zeros"])) - 900


def test_numbers_without_repetition_are_stored_near_their_entropy() -> None:
    rows = np.random.default_rng(0).normal(0, np.geomspace(0.5, 20, 30)[:, None], (30, 8000)).round().astype(np.int8)
    counts = [np.unique(row, return_counts=True)[1] / row.size for row in rows]
    entropy = sum(-(part * np.log2(part)).sum() * rows.shape[1] / 8 for part in counts)
    assert len(deflated_smallest(rows.tobytes())) < 1.06 * entropy < 0.95 * len(zlib.compress(rows.tobytes(), 9))


def rewritten(change: Callable[[dict], None]) -> bytes:
    """A file whose header says something else, with lengths that fit."""
    data = pack(META, ARRAYS)
    length = HEADER.unpack_from(data)[2]
    header = json.loads(data[16 : 16 + length])
    change(header)
    text = json.dumps(header).encode()
    # Sections move by as much as the header grew, so that only what was changed is wrong.
    text = text.ljust(max(length, len(text)) + -max(length, len(text)) % 4)
    moved = len(text) - length
    for entry in header["sections"] if isinstance(header.get("sections"), list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("offset"), int) and not isinstance(entry["offset"], bool):
            entry["offset"] += moved
    again = json.dumps(header).encode().ljust(len(text))
    body = again + data[16 + length :]
    return HEADER.pack(b"GSAV", 1, len(again), 16 + len(body)) + body


def section(name: str, value: object) -> Callable[[dict], None]:
    return lambda header: header["sections"][1].update({name: value})


def bomb() -> bytes:
    """A section that says it is small and inflates to 64 MiB."""
    data = pack(META, {"z": np.zeros(1 << 26, np.uint8)})
    return data.replace(b'"shape":[67108864]', b'"shape":[64      ]')


WHOLE = pack(META, ARRAYS)
MUTATIONS = {
    "nothing": (lambda: b"", "another kind"),
    "a zip": (lambda: b"PK\x03\x04" + bytes(100), "another kind"),
    "a newer version": (lambda: WHOLE[:4] + struct.pack("<I", 2) + WHOLE[8:], "version 2"),
    "version 0": (lambda: WHOLE[:4] + bytes(4) + WHOLE[8:], "damaged"),
    "cut short": (lambda: WHOLE[:-3], "damaged"),
    "something behind it": (lambda: WHOLE + b"x", "damaged"),
    "a header of 4 GB": (lambda: WHOLE[:8] + b"\xff" * 4 + WHOLE[12:], "damaged"),
    "no JSON": (lambda: WHOLE[:16] + b"\xfe" + WHOLE[17:], "not JSON"),
    "nested JSON": (
        lambda: HEADER.pack(b"GSAV", 1, 400_000, 400_016) + b"[" * 400_000,
        "not JSON",
    ),
    "a list": (lambda: HEADER.pack(b"GSAV", 1, 4, 20) + b"[] \n", "no object"),
    "NaN in JSON": (lambda: HEADER.pack(b"GSAV", 1, 12, 28) + b'{"meta":NaN}', "not JSON"),
    "no meta": (lambda: rewritten(lambda header: header.pop("meta")), "without meta"),
    "no sections": (lambda: rewritten(lambda header: header.pop("sections")), "without"),
    "many sections": (lambda: rewritten(lambda header: header["sections"].extend([{}] * 300)), "sane list"),
    "a section that is a number": (lambda: rewritten(lambda header: header["sections"].append(5)), "no object"),
    "one name twice": (lambda: rewritten(section("name", "small")), "one name"),
    "a name that is none": (lambda: rewritten(section("name", None)), "unknown kind"),
    "an unknown type": (lambda: rewritten(section("type", "f64")), "unknown kind"),
    "a type that is a list": (lambda: rewritten(section("type", [])), "unknown kind"),
    "an unknown coding": (lambda: rewritten(section("coding", "brotli")), "unknown kind"),
    "a shape of billions": (lambda: rewritten(section("shape", [1 << 20, 1 << 20])), "outside"),
    "a shape of more digits": (lambda: rewritten(section("shape", [10**40])), "unknown kind"),
    "a negative shape": (lambda: rewritten(section("shape", [-1, -30])), "unknown kind"),
    "a shape of fractions": (lambda: rewritten(section("shape", [1.5])), "unknown kind"),
    "a shape of many axes": (lambda: rewritten(section("shape", [1] * 40)), "unknown kind"),
    "no offset": (lambda: rewritten(section("offset", None)), "unknown kind"),
    "in the header": (lambda: rewritten(section("offset", 0)), "outside"),
    "beyond the end": (lambda: rewritten(section("offset", 1 << 27)), "outside"),
    "off by one": (lambda: rewritten(section("offset", 2001)), "outside"),
    "longer than the file": (lambda: rewritten(section("bytes", 1 << 20)), "outside"),
    "true bytes": (lambda: rewritten(section("bytes", True)), "unknown kind"),
    "deflated that says raw": (lambda: rewritten(section("coding", "raw")), "outside"),
    "raw that says deflated": (
        lambda: rewritten(lambda header: header["sections"][0].update(coding="deflate")),
        "cannot be inflated",
    ),
    "a bomb": (bomb, "z of another size"),
    "all of the memory": (
        lambda: rewritten(
            lambda header: [
                entry.update(shape=[MOST_DECODED], type="u8", coding="deflate") for entry in header["sections"]
            ]
        ),  # fmt: skip
        "256 MiB",
    ),
    "NaN": (lambda: pack(META, {"x": np.array([1, np.nan], np.float32)}), "NaN or infinity in x"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_hostile_files_end_in_one_line(name: str) -> None:
    make, part = MUTATIONS[name]
    with pytest.raises(UserError, match=part):
        unpack(make(), "x.gsa")


def test_every_cut_and_every_flipped_byte_is_read_or_refused() -> None:
    data = np.frombuffer(WHOLE, np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(400):
        bad = data.copy()
        bad[generator.integers(len(bad), size=3)] = generator.integers(256, size=3)
        try:
            unpack(bad.tobytes()[: generator.integers(len(bad) + 1)] if generator.random() < 0.3 else bad.tobytes())
        except UserError:
            continue


def test_ranges_err_by_half_a_step() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 400)) * np.array([1, 1e-3, 1e3, 0, 1])[:, None] + 7
    steps, limits = ranged(rows)
    span = np.ptp(rows, axis=1, keepdims=True)
    assert (np.abs(unranged(steps, limits) - rows) <= span / 65535 * 0.5 + 2e-6 * np.abs(rows)).all()


@pytest.mark.parametrize("bits", [4, 5, 7, 8])
def test_steps_err_by_half_a_step_and_use_their_bits(bits: int) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 2, 400)) * np.array([1, 1e-4, 0])[:, None, None]
    steps, scale = stepped(rows, bits)
    most = 2 ** (bits - 1) - 1
    assert steps[:2].max() == most or steps[:2].min() == -most
    assert np.abs(steps).max() == most and not steps[2].any()
    assert (np.abs(unstepped(steps, scale) - rows) <= 0.5001 * scale[..., None]).all()
