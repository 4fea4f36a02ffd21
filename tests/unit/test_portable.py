"""No file asks for what only POSIX has while it is imported, and what is written stays whole where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

HIDDEN = """
import builtins, os, signal, sys

POSIX = {"fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "posix", "syslog", "crypt"}
real = builtins.__import__

def without_posix(name, globals=None, *rest):
    ours = (globals or {}).get("__name__", "").partition(".")[0] == "gaussavatar"
    if ours and name.partition(".")[0] in POSIX:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, *rest)

builtins.__import__ = without_posix
for name in ("getuid", "geteuid", "preadv", "sched_getaffinity", "getloadavg", "sysconf"):
    delattr(os, name)
del signal.SIGHUP
"""
"""Python as Windows has it, for this package alone: what others import is theirs to see to."""

EVERY_MODULE = """
from importlib import import_module
from pkgutil import walk_packages
import gaussavatar

count = 0
for module in walk_packages(gaussavatar.__path__, "gaussavatar."):
    # The adapters say in a line that the frameworks of others are not there.
    if module.name.endswith(".__main__") or ".live.frameworks." in module.name:
        continue
    try:
        import_module(module.name)
    except ModuleNotFoundError as error:
        # Of the extras, those that are not installed here.
        assert error.name.partition(".")[0] in {"aiortc", "gsplat", "livekit", "pipecat", "pxr"}, (module.name, error)
    count += 1
print(count)
"""

FILES = """
from pathlib import Path
import numpy as np
from gaussavatar.fitting.fit import only_writer
from gaussavatar.fitting.stages import peak_memory_mib
from gaussavatar.storage import FrameStore, atomic_path, frame_writer, read_json, scratch_folder, write_json

here = Path(sys.argv[1])
write_json(here / "a.json", {"a": 1})
write_json(here / "a.json", {"a": 2})
assert read_json(here / "a.json") == {"a": 2}
frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
with frame_writer(here / "frames", (3, 4, 3)) as writer:
    for frame in frames:
        writer.append(frame)
assert np.array_equal(FrameStore(here / "frames").read_batch([1, 0]), frames[::-1])
with scratch_folder() as folder:
    (folder / "x").write_text("x")
assert not folder.exists()
try:
    with atomic_path(here / "b.txt") as temporary:
        temporary.write_text("half")
        raise ValueError
except ValueError:
    pass
with only_writer(here / "fit"):
    assert peak_memory_mib() == 0
print(sorted(path.name for path in here.iterdir()))
"""


def run(program: str, *words: str) -> str:
    command = [sys.executable, "-c", HIDDEN + program, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_is_imported_without_what_only_posix_has() -> None:
    assert int(run(EVERY_MODULE)) >= 400


def test_files_are_whole_or_absent_without_locks(tmp_path: Path) -> None:
    assert run(FILES, str(tmp_path)).strip() == "['a.json', 'fit', 'frames', 'frames.json']"
