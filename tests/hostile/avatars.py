"""Avatar folders that a stranger made: headers, tensors, pictures and videos with a right digest and wrong contents."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.avatar.accents import Accents
from gaussavatar.avatar.arkit import rough_map
from gaussavatar.avatar.folder import HEADER, MATTE, PLATE, TORSO, TRACK, UNDER, WEIGHTS
from gaussavatar.media.writing import write_video
from gaussavatar.model.torso import blank_torso
from gaussavatar.storage import write_arrays
from tests.conftest import TOY_FRAMES, TOY_MOUTH, TOY_SIZE, TOY_UPPER, write_toy_avatar
from tests.hostile.cases import change_arrays, change_header, flipped, put, register, sealed, swapped_value

_KEPT = tempfile.TemporaryDirectory(prefix="gaussavatar-hostile-")


@cache
def good_avatar() -> Path:
    """An avatar with all the parts that one may have."""
    folder = write_toy_avatar(Path(_KEPT.name) / "good")
    opening = np.array([5, 0, 0, 0], np.float32)
    codes = np.random.default_rng(0).normal(size=(50, TOY_MOUTH)).astype(np.float32)
    rest = np.zeros(len(TOY_UPPER), np.float32)
    curves = rough_map(np.zeros(TOY_MOUTH, np.float32), rest, opening, codes, TOY_UPPER)
    accents = Accents(np.zeros((15, 6), np.float32), np.zeros((3, 6), np.float32), np.zeros(6, np.float32))
    change_arrays(folder / WEIGHTS, lambda arrays: arrays.update(curves.arrays() | accents.arrays()))
    torso = {name: value.numpy() for name, value in blank_torso(40).state_dict().items()}
    torso["gaussians.quats"][:, 0] = 1
    write_arrays(folder / TORSO, torso | {"T_camera_torso": np.tile(np.eye(4, dtype=np.float32), (TOY_FRAMES, 1, 1))})
    white = np.full((TOY_SIZE, TOY_SIZE, 3), 255, np.uint8)
    write_video(folder / MATTE, [white] * TOY_FRAMES, 25, (TOY_SIZE, TOY_SIZE))
    change_header(folder, lambda header: header["files"].update({TORSO: {}, MATTE: {}}))
    return sealed(folder)


def avatar_with(change: Callable[[Path], object], seal: bool = True) -> Callable[[Path], Path]:
    """A copy of the good avatar with a change."""

    def make(folder: Path) -> Path:
        shutil.copytree(good_avatar(), folder, dirs_exist_ok=True)
        change(folder)
        return sealed(folder) if seal else folder

    return make


def avatar(name: str, change: Callable[[Path], object], seal: bool = True, either: bool = False) -> None:
    """Register an avatar's case."""
    register(f"avatar {name}", "avatar", avatar_with(change, seal), "either" if either else "refused")


def header(dotted: str, value: Any, either: bool = False) -> None:
    """Register a header with another value."""
    said = f"{value!r}"[:24]
    change = lambda folder: change_header(folder, lambda plain: put(plain, dotted, value))  # noqa: E731
    avatar(f"header {dotted} {said}", change, seal=False, either=either)


def array(file: str, name: str, value: Callable[[np.ndarray], np.ndarray | None], what: str) -> None:
    """Register a file with another array; None leaves it out."""

    def change(folder: Path) -> None:
        def swap(arrays: dict[str, np.ndarray]) -> None:
            changed = value(arrays.pop(name))
            if changed is not None:
                arrays[name] = changed

        change_arrays(folder / file, swap)

    avatar(f"array {name} {what}", change)


def with_one(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """An array with one other number."""

    def changed(old: np.ndarray) -> np.ndarray:
        new = old.copy()
        new.flat[new.size // 2] = value
        return new

    return changed


for key in ("n_mouth", "n_upper", "face", "face_moving", "mouth", "mouth_moving"):
    for value in (-1, 10**9, 2**63, 1.5, None):
        header(f"shapes.{key}", value)
for dotted, values in {
    "shapes": ({}, None, []),
    "model.face.n_free": (10**9, -1),
    "model.face.hidden": (-1,),
    "model.face.deformation": ("os.system", "triplane", None),
    "model.face.moves": (["position", "position"], ["everything"], []),
    "model.face.planes": ([0.0], "16"),
    "model.binding": ("head", "rope"),
    "model.sh_degree": (9, 2),
    "encoder.n_codes": (0, 10**9, 5),
    "encoder.hidden": (10**9, 0),
    "encoder.members": (10**9, 0, -3),
    "encoder.width": (10**9, 41),
    "encoder.window": (10**9, 0),
    "encoder.features": (["../../x"], ["mel"] * 10_000, [], "mel"),
    "encoder.heard": (10**9, -1),
    "encoder.dropout": (7.0, -1.0),
    "drive.batch": (0, -5),
    "drive.ood": (7.0, -1.0),
    "drive.mouth_gain": (1e308, -1e9),
    "drive.gate.hold": (10**12, -1),
    "drive.gate.softness": (-1.0, 0.0),
    "light": ({"n_codes": 4}, {"n_codes": 4, "hidden": 10**9}),
    "light_share": (7.0, -1.0),
    "image_size": (0, 15, 2**40, 97),
    "held_out": (0, 1e300),
    "upper_names": ([], ["a"], ["same"] * 3, ["x"] * 100_000),
    "expression_names": (["jaw"],),
    "files": ({}, [], {"avatar.safetensors": 5}),
    "files.plate\tpng": ({"sha256": 5, "bytes": []},),
    "version": (True, 0, -1, 1.5, 10**40, "2"),
    "format": (None, "gaussavatar2", 5),
    "subject": (5, ["x"]),
    "synthetic": (None, "yes"),
}.items():
    for value in values:
        header(dotted.replace("\t", "."), value) if "\t" not in dotted else None
header("subject", "x" * 5_000_000, either=True)
header("subject", "\x1b[2J\x00\n", either=True)
header("source", "../../../etc/passwd", either=True)


def header_text(name: str, text: bytes) -> None:
    """Register a header of other bytes."""
    avatar(f"header of {name}", lambda folder: (folder / HEADER).write_bytes(text), seal=False)


header_text("nothing", b"")
header_text("deep lists", b"[" * 200_000)
header_text("deep objects", b'{"a":' * 200_000 + b"1" + b"}" * 200_000)
header_text("a number of many digits", b'{"version": ' + b"9" * 100_000 + b"}")
header_text("UTF-16", json.dumps({"format": "gaussavatar"}).encode("utf-16"))
header_text("zeros", bytes(1000))
header_text("a lone surrogate", b'{"format": "gaussavatar", "version": 2, "subject": "\\ud800"}')
header_text("half a gigabyte of blanks", b" " * (600 << 20))


def link(name: str, target: str) -> None:
    """Register a file that is a link."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    avatar(f"link {name} to {target}", change)


def out_of_the_folder(name: str) -> None:
    """Register a good file that lies elsewhere."""

    def change(folder: Path) -> None:
        os.replace(folder / name, folder.parent / f"{folder.name}-outside")
        (folder / name).symlink_to(f"../{folder.name}-outside")

    avatar(f"link {name} out of the folder", change)


def pipe(name: str) -> None:
    """Register a pipe that nobody writes to."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    avatar(f"pipe {name}", change, seal=False)


def folder_for_file(name: str) -> None:
    """Register a folder where a file should be."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    avatar(f"folder {name}", change, seal=False)


for file in (HEADER, WEIGHTS, TRACK, UNDER, PLATE, MATTE, TORSO):
    pipe(file)
    folder_for_file(file)
    if file != HEADER:
        out_of_the_folder(file)
for file, target in ((HEADER, "/dev/zero"), (WEIGHTS, "/dev/zero"), (PLATE, "nowhere"), (UNDER, "under.mp4")):
    if file == HEADER:
        avatar("link avatar.json to /dev/zero", lambda folder: ((folder / HEADER).unlink(),
               (folder / HEADER).symlink_to("/dev/zero")), seal=False)  # fmt: skip
    else:
        link(file, target)

WHOLE = {
    "NaN": with_one(np.nan),
    "infinite": with_one(np.inf),
    "out": lambda old: None,
    "empty": lambda old: old[:0],
    "longer": lambda old: np.concatenate([old, old[:1]]),
    "of more axes": lambda old: old[None],
    "of bytes": lambda old: old.astype(np.uint8),
}
for file, name, kinds in (
    (WEIGHTS, "model.avatar.face.gaussians.means", WHOLE),
    (WEIGHTS, "model.avatar.face.gaussians.log_scales", {"huge": with_one(80.0), "NaN": WHOLE["NaN"]}),
    (WEIGHTS, "model.avatar.face.gaussians.quats", {"zero": np.zeros_like, "NaN": WHOLE["NaN"]}),
    (WEIGHTS, "model.avatar.mouth.gaussians.colors", {"NaN": WHOLE["NaN"], "longer": WHOLE["longer"]}),
    (WEIGHTS, "model.avatar.face.motion.basis", {"NaN": WHOLE["NaN"], "out": WHOLE["out"]}),
    (WEIGHTS, "model.encoder.stem.weight", {"NaN": WHOLE["NaN"], "of more axes": WHOLE["of more axes"]}),
    (WEIGHTS, "closed", WHOLE),
    (WEIGHTS, "mouth_open_direction", WHOLE),
    (WEIGHTS, "arkit.mouth", {"NaN": WHOLE["NaN"], "longer": WHOLE["longer"]}),
    (WEIGHTS, "accents.weights", {"NaN": WHOLE["NaN"], "of more axes": WHOLE["of more axes"]}),
    (TRACK, "T_camera_world", WHOLE | {"zero": np.zeros_like, "far": lambda old: old * 1e30}),
    (TRACK, "K", WHOLE | {"zero": np.zeros_like, "huge": lambda old: old * 1e30, "negative": np.negative}),
    (TRACK, "mouth_codes", WHOLE | {"huge": with_one(1e30)}),
    (TRACK, "upper", WHOLE),
    (TORSO, "T_camera_torso", WHOLE),
    (TORSO, "gaussians.means", {"NaN": WHOLE["NaN"], "longer": WHOLE["longer"], "out": WHOLE["out"]}),
):
    for what, value in kinds.items():
        array(file, name, value, what)


def raw(file: str, name: str, data: bytes | Callable[[bytes], bytes], either: bool = False) -> None:
    """Register other bytes in place of a file, with the right digest."""

    def change(folder: Path) -> None:
        path = folder / file
        path.write_bytes(data if isinstance(data, bytes) else data(path.read_bytes()))

    avatar(f"{file} {name}", change, either=either)


def safetensors(header: dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    """A file of a header that may lie."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


LYING = {"closed": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
raw(WEIGHTS, "empty", b"")
raw(WEIGHTS, "declares a header of exabytes", safetensors({}, length=2**63))
raw(WEIGHTS, "declares terabytes", safetensors(LYING))
raw(WEIGHTS, "declares an overflow", safetensors({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 0]}}))
raw(WEIGHTS, "holds nothing", safetensors({}))
raw(WEIGHTS, "of nested JSON", struct.pack("<Q", 400_000) + b"[" * 400_000)
raw(WEIGHTS, "of an unknown kind", safetensors({"a": {"dtype": "F7", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)))
raw(TRACK, "cut", lambda old: old[: len(old) // 2])


def too_large(folder: Path) -> None:
    """A file of many gigabytes that takes no room on the disk."""
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(1 << 40)


avatar("avatar.safetensors of a terabyte", too_large, seal=False)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says how large it is, with rows or without."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


raw(PLATE, "of other size", png(32, 32, bytes(32 * 97)))
raw(PLATE, "declares 900 megapixels", png(30_000, 30_000))
raw(PLATE, "declares 10^12 pixels", png(1_000_000, 1_000_000))
raw(PLATE, "a bomb", png(20_000, 20_000, bytes(20_000 * 2_000)))
raw(PLATE, "cut", lambda old: old[: len(old) // 3])
raw(PLATE, "a letter", b"Dear Sir or Madam\n" * 20)
raw(PLATE, "an SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')


def video(file: str, name: str, size: tuple[int, int], frames: int) -> None:
    """Register a video of other size or length."""
    grey = np.full((size[1], size[0], 3), 90, np.uint8)
    avatar(f"{file} {name}", lambda folder: write_video(folder / file, [grey] * frames, 25, size))


for file in (UNDER, MATTE):
    raw(file, "empty", b"")
    raw(file, "a letter", b"Dear Sir or Madam\n" * 20)
    raw(file, "cut", lambda old: old[: len(old) // 2])
    raw(file, "a list of other files", b"ffconcat version 1.0\nfile plate.png\nfile plate.png\n")
    raw(file, "a playlist", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    raw(file, "a playlist of the net", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    video(file, "of other size", (64, 48), TOY_FRAMES)
    video(file, "too short", (TOY_SIZE, TOY_SIZE), 5)
    video(file, "wide", (4096, 64), TOY_FRAMES)

for seed in range(60):
    chance = np.random.default_rng(seed)
    avatar(
        f"header by chance {seed}",
        lambda folder, chance=chance: change_header(folder, lambda plain: swapped_value(plain, chance)),
        seal=False,
        either=True,
    )
for seed in range(24):
    file = (WEIGHTS, TRACK, TORSO, PLATE, UNDER, MATTE)[seed % 6]
    raw(file, f"by chance {seed}", lambda old, seed=seed: flipped(old, np.random.default_rng(seed)), either=True)
