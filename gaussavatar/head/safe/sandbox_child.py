"""The small process in which users' head files are read; started by :mod:`gaussavatar.head.safe.sandbox` only.

It limits itself before it looks at the file, turns what it finds into checked arrays, and writes those as an npz. What
the user can mend goes to stdout as JSON.
"""

from __future__ import annotations

import json
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.errors import UserError
from gaussavatar.head.safe.archive import MAX_PICKLE, flame_member, open_archive, read_member, read_npz
from gaussavatar.head.safe.checks import check_flame, check_gnm, check_ict
from gaussavatar.head.safe.obj import read_ict_folder, read_regular
from gaussavatar.head.safe.unpickle import read_pickle

REFUSED = 3
"""Exit code where the reason is on stdout."""

PICKLE_STARTS = (b"\x80", b"(", b"}", b"c")


def limit(memory: int, seconds: int, output: int) -> None:
    """Limit this process: bytes of address space, seconds of processor time, bytes of a file it writes.

    A system without such limits, as Windows, has only those of whoever waits for this process.
    """
    try:
        import resource
    except ImportError:
        return
    wanted = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: output,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # Some systems do not know the limit of address space; the others hold all the same.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def read_source(path: Path, most: int) -> tuple[str, str, dict[str, np.ndarray]]:
    """What kind of head a path holds, the file's own name for it, and its checked arrays.

    Raises:
        UserError: it holds none that can be used.
    """
    if path.is_dir():
        return "ict", path.name, check_ict(read_ict_folder(path))
    with path.open("rb") as file:
        start = file.read(4)
        if start[:2] == b"PK":
            archive = open_archive(file)
            if any(member.filename.endswith(".npy") for member in archive.infolist()):
                return _from_npz(read_npz(archive), path.name)
            member = flame_member(archive)
            return "flame", member.filename, check_flame(read_pickle(read_member(archive, member, MAX_PICKLE)))
    if start[:1] in PICKLE_STARTS:
        return "flame", path.name, check_flame(read_pickle(read_regular(path, None, min(most, MAX_PICKLE))))
    raise UserError(
        "a FLAME .pkl or .zip, an ICT-FaceKit folder or .npz, a GNM .npz, or a head of gaussavatar",
        f"{path.name:.80}, which is none of them",
        "give the model's file as it was downloaded",
    )


def _from_npz(arrays: dict[str, np.ndarray], name: str) -> tuple[str, str, dict[str, np.ndarray]]:
    if "template_vertex_positions" in arrays:
        return "gnm", name, check_gnm(arrays)
    if {"v_template", "shapedirs"} <= set(arrays):
        return "flame", name, check_flame(arrays)
    if {"v", "faces", "expr"} <= set(arrays):
        return "ict", name, check_ict(arrays)
    if {"template", "joint_parents", "skin_weights"} <= set(arrays):
        return "head", name, arrays
    keys = ", ".join(sorted(arrays)[:6]) or "nothing"
    raise UserError("the arrays of a head model in the npz", f"{keys!r:.120}", "give a file of ICT-FaceKit or GNM")


def main(arguments: list[str]) -> int:
    """Read ``arguments[0]`` (JSON) and write the arrays it asks for."""
    request: dict[str, Any] = json.loads(arguments[0])
    limit(request["memory"], request["seconds"], request["output"])
    try:
        kind, member, arrays = read_source(Path(request["path"]), request["most"])
        np.savez(request["out"], **arrays)  # type: ignore[arg-type]
        answer: dict[str, Any] = {"kind": kind, "member": member}
    except UserError as error:
        answer = {"refused": [error.expected, error.came, error.do]}
    except MemoryError:
        answer = {"refused": ["a head model of usual size", "one that needs too much memory", "check the file"]}
    except RecursionError:
        answer = {"refused": ["a head model", "a file of endless nesting", "check the file"]}
    except (OSError, zipfile.BadZipFile) as error:
        answer = {"refused": ["a readable file", f"{type(error).__name__}: {error}"[:160], "check the file"]}
    sys.stdout.write(json.dumps(answer))
    return REFUSED if "refused" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
