"""Single files that a stranger made: .gsa, motion, presets, recipes."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.avatar.load import load_avatar
from gaussavatar.export.gsa.container import HEADER
from gaussavatar.export.gsa.file import avatar_file
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.motion.track import MotionTrack
from tests.hostile.avatars import good_avatar, safetensors
from tests.hostile.cases import HOSTILE_VALUES, change_arrays, flipped, put, register, swapped_value


def written(kind: str, name: str, suffix: str, data: bytes | Callable[[], bytes], either: bool = False) -> None:
    """Register a file of some bytes."""

    def make(folder: Path) -> Path:
        path = folder / f"stranger{suffix}"
        path.write_bytes(data if isinstance(data, bytes) else data())
        return path

    register(f"{kind} {name}", kind, make, "either" if either else "refused")


def special(kind: str, suffix: str) -> None:
    """Register what is no file: a pipe, a folder, an endless device."""

    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / f"stranger{suffix}")
        return folder / f"stranger{suffix}"

    def inner(folder: Path) -> Path:
        (folder / f"stranger{suffix}").mkdir()
        return folder / f"stranger{suffix}"

    def endless(folder: Path) -> Path:
        (folder / f"stranger{suffix}").symlink_to("/dev/zero")
        return folder / f"stranger{suffix}"

    def terabyte(folder: Path) -> Path:
        with (folder / f"stranger{suffix}").open("wb") as file:
            file.truncate(1 << 40)
        return folder / f"stranger{suffix}"

    for make in (pipe, inner, endless, terabyte):
        register(f"{kind} {make.__name__} {suffix}", kind, make)


@cache
def good_gsa() -> bytes:
    """The good avatar as a file for pages."""
    return avatar_file(load_avatar(good_avatar()), force=True).data


def gsa_with(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file with another header; its sections stay where they are."""
    data = good_gsa()
    magic, version, length, whole = HEADER.unpack_from(data)
    plain = json.loads(data[HEADER.size : HEADER.size + length])
    change(plain)
    text = json.dumps(plain).encode()
    if len(text) <= length:
        return data[: HEADER.size] + text.ljust(length) + data[HEADER.size + length :]
    moved = (len(text) - length + 3) // 4 * 4
    for section in plain["sections"]:
        if isinstance(section, dict) and isinstance(section.get("offset"), int):
            section["offset"] += moved
    text = json.dumps(plain).encode().ljust(length + moved)
    return HEADER.pack(magic, version, len(text), whole + len(text) - length) + text + data[HEADER.size + length :]


for dotted, values in {
    "meta.size": (10**9, -1, "x"),
    "meta.fps": (0, 1e9, None),
    "meta.upper_names": ([], ["x"] * 50_000),
    "meta.branches": ({}, []),
    "meta.branches.face.n": (10**9, 0, -1),
    "meta.branches.face.moving": (10**9, -1),
    "meta.branches.face.codes": (10**9, 0),
    "meta.branches.face.free": (10**9, -1),
    "meta.branches.face.moves": (["position"] * 2, ["x"]),
    "meta.synthetic": (False, None),
    "meta.subject": (5,),
    "sections": ([], {}, None),
}.items():
    for value in values:
        change = lambda plain, dotted=dotted, value=value: put(plain, dotted, value)  # noqa: E731
        written("gsa", f"{dotted} {value!r}"[:60], ".gsa", lambda change=change: gsa_with(change))
for seed in range(40):
    change = lambda plain, seed=seed: swapped_value(plain, np.random.default_rng(seed))  # noqa: E731
    written("gsa", f"header by chance {seed}", ".gsa", lambda change=change: gsa_with(change), either=True)
for seed in range(20):
    bad = lambda seed=seed: flipped(good_gsa(), np.random.default_rng(seed))  # noqa: E731
    written("gsa", f"by chance {seed}", ".gsa", bad, either=True)
special("gsa", ".gsa")

ROWS = 5


def track() -> MotionTrack:
    """A short motion."""
    poses = np.tile(np.eye(4, dtype=np.float32), (ROWS, 1, 1))
    upper = np.zeros((ROWS, 2), np.float32)
    return MotionTrack(np.zeros((ROWS, 3), np.float32), upper, poses, np.arange(ROWS), upper_names=("a", "b"))


def motion_with(change: Callable[[dict[str, np.ndarray]], object] = bool, **facts: str) -> Callable[[Path], Path]:
    """A track of other arrays or facts."""

    def make(folder: Path) -> Path:
        from gaussavatar.storage import read_arrays, write_arrays

        path = folder / "stranger.motion"
        track().save(path)
        change_arrays(path, change)
        arrays, known = read_arrays(path)
        write_arrays(path, arrays, known | facts)
        return path

    return make


for name, make in {
    "at no rate": motion_with(fps="nan"),
    "at a rate without end": motion_with(fps="1e400"),
    "at a rate of words": motion_with(fps="__import__('os')"),
    "of another version": motion_with(version="1e9"),
    "of nested names": motion_with(upper_names="[" * 100_000),
    "of names of many digits": motion_with(upper_names="[" + "9" * 100_000 + "]"),
    "of a million names": motion_with(upper_names=json.dumps(["x"] * 1_000_000)),
    "of names that are none": motion_with(upper_names="{}", movement_names="5"),
    "of NaN": motion_with(lambda arrays: arrays.update(upper=arrays["upper"] * np.nan)),
    "of complex places": motion_with(lambda arrays: arrays.update(places=np.array([1e30] * ROWS, np.float32))),
    "of negative places": motion_with(lambda arrays: arrays.update(places=-arrays["places"] - 1)),
    "of other poses": motion_with(lambda arrays: arrays.update(T_camera_world=np.zeros((ROWS, 3, 3), np.float32))),
    "of poses that are none": motion_with(lambda arrays: arrays.update(T_camera_world=arrays["T_camera_world"] * 0)),
    "of no frame": motion_with(lambda arrays: arrays.update({name: value[:0] for name, value in arrays.items()})),
    "of unlike lengths": motion_with(lambda arrays: arrays.update(upper=arrays["upper"][:2])),
    "without places": motion_with(lambda arrays: arrays.pop("places")),
}.items():
    register(f"motion {name}", "motion", make)
HEADLINE = "mouth_0,yaw_degrees,pitch_degrees,roll_degrees,x_metres,y_metres,z_metres,place,fps"
ROW = "0,0,0,0,0,0,0.7,0,25"
for name, text in {
    "of formulas": HEADLINE + "\n" + ROW.replace("0.7", "=HYPERLINK(1)"),
    "beyond all numbers": HEADLINE + "\n" + ROW.replace("0.7", "1e400"),
    "beyond single numbers": HEADLINE + "\n" + ROW.replace("0.7", "1e300"),
    "of places beyond": HEADLINE + "\n" + ROW.replace("0,25", "1e300,25"),
    "of a million columns": ",".join(f"mouth_{index}" for index in range(1_000_000)) + "\n",
    "of mouth_999 alone": HEADLINE.replace("mouth_0", "mouth_999") + "\n" + ROW,
    "of endless quotes": HEADLINE + '\n"' + "x" * 1_000_000,
    "of digits without end": HEADLINE + "\n" + ROW.replace("0.7", "9" * 1_000_000),
    "of other digits": HEADLINE + "\n" + ROW.replace("0.7", "\u0663x"),
    "of zeros": "\0" * 1000,
    "of names in the dark": HEADLINE.replace("mouth_0", "mouth_\u0660") + "\n" + ROW,
}.items():
    written("motion", f"table {name}", ".csv", text.encode())
FRAME = dict.fromkeys(ARKIT_EXPRESSIONS, 0.1)
for name, plain in {
    "of nothing": {},
    "of a number": 5,
    "of words": {"fps": 30, "frames": "x"},
    "of an endless rate": {"fps": 1e300, "frames": [FRAME]},
    "of frames that are numbers": {"fps": 30, "frames": [1, 2]},
    "of names that are numbers": {"names": [1] * 52, "frames": [[0.1] * 52]},
    "of a value beyond": {"fps": 30, "frames": [FRAME | {"jawOpen": 1e300}]},
}.items():
    written("motion", f"curves {name}", ".json", json.dumps(plain).encode())
written("motion", "curves nested", ".json", b'{"frames":' + b"[" * 300_000)
written("motion", "curves of many digits", ".json", b'{"fps":' + b"9" * 100_000 + b',"frames":[]}')
written("motion", "that declares terabytes", ".motion",
        safetensors({"mouth_codes": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}))  # fmt: skip
written("motion", "of a long header", ".motion", struct.pack("<Q", 1 << 31) + b"{" + b" " * 1000)
for seed in range(20):

    def by_chance(folder: Path, seed: int = seed) -> Path:
        path = folder / ("stranger.csv" if seed % 2 else "stranger.motion")
        track().save(path)
        path.write_bytes(flipped(path.read_bytes(), np.random.default_rng(seed)))
        return path

    register(f"motion by chance {seed}", "motion", by_chance, "either")
for suffix in (".csv", ".motion", ".json"):
    special("motion", suffix)

for name, data in {
    "nested": b"[" * 200_000,
    "of many digits": b'{"a": ' + b"9" * 100_000 + b"}",
    "a list": b"[1, 2]",
    "of other bytes": bytes(range(256)),
    "of hostile values": json.dumps({"a": list(HOSTILE_VALUES), "b": {"opening.": 1e999}, "c": {}}).encode(),
}.items():

    def preset(folder: Path, data: bytes = data) -> Path:
        (folder / "presets.json").write_bytes(data)
        return folder / "presets.json"

    register(f"presets {name}", "presets", preset, "either")


def presets_endless(folder: Path) -> Path:
    """Presets without end."""
    (folder / "presets.json").symlink_to("/dev/zero")
    return folder / "presets.json"


def presets_pipe(folder: Path) -> Path:
    """Presets that never come."""
    os.mkfifo(folder / "presets.json")
    return folder / "presets.json"


register("presets endless", "presets", presets_endless, "either")
register("presets pipe", "presets", presets_pipe, "either")

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
for name, text in {
    "of laughs": LAUGHS + "training: *a11\n",
    "of laughs where a list belongs": LAUGHS + "extends: preview\naudio: {features: *a11}\n",
    "that bites its tail": "extends: preview\nmodel: &m {face: *m}\n",
    "that merges itself": "a: &a {<<: *a}\n",
    "of merges": "".join(f"k{n}: &k{n} {{<<: [{', '.join([f'*k{n - 1}'] * 9)}]}}\n" if n else "k0: &k0 {a: 1}\n"
                         for n in range(12)),
    "that runs": "!!python/object/apply:os.system ['touch canary']\n",
    "nested": "[" * 20_000,
    "deep": "".join(" " * level + "a:\n" for level in range(1500)),
    "that extends itself": "extends: ./stranger.yaml\n",
    "that extends the password file": "extends: /etc/passwd\n",
    "that extends zeros": "extends: /dev/zero\n",
    "that extends a folder": "extends: ../\n",
    "that extends a number": "extends: 5\n",
    "of many digits": "extends: preview\nimage_size: " + "9" * 100_000 + "\n",
    "of sixties": "extends: preview\nimage_size: " + ":".join(["59"] * 20_000) + "\n",
    "of a date": "extends: preview\nimage_size: 2026-01-01\n",
    "of a broken date": "extends: preview\nimage_size: 2026-99-99\n",
    "of infinity": "extends: preview\nimage_size: .inf\n",
    "of keys that are lists": "? [1, 2]\n: 3\n",
    "of keys that are maps": "? {a: 1}\n: 3\n",
    "of two documents": "a: 1\n---\nb: 2\n",
    "of binary": "extends: preview\nimage_size: !!binary aGk=\n",
    "of a set": "!!set {a, b}\n",
    "of zeros": "\0" * 100,
    "of a lone surrogate": 'extends: "\\ud800"\n',
    "of more stages than days": "extends: preview\ntraining: {stages: [" + "{name: a}, " * 100_000 + "]}\n",
    "of a billion Gaussians": "extends: preview\nmodel: {face: {count: 1000000000}}\n",
}.items():  # fmt: skip
    written("recipe", name, ".yaml", text.encode())
written("recipe", "of other bytes", ".yaml", bytes(range(256)))
written("recipe", "of half a gigabyte", ".yaml", lambda: b"# nothing\n" * 50_000_000)
special("recipe", ".yaml")
for seed in range(20):

    def recipe_by_chance(seed: int = seed) -> bytes:
        import msgspec
        import yaml

        from gaussavatar.fitting.recipe import load_recipe

        plain = msgspec.to_builtins(load_recipe("preview"))
        swapped_value(plain, np.random.default_rng(seed))
        return yaml.safe_dump(plain).encode()

    written("recipe", f"by chance {seed}", ".yaml", recipe_by_chance, either=True)
