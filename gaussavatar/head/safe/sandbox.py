"""Reading a head file in a process of its own with limits, so that a hostile one can neither act nor exhaust us."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gaussavatar
from gaussavatar.errors import UserError
from gaussavatar.head.safe.sandbox_child import REFUSED
from gaussavatar.storage import scratch_folder


@dataclass(frozen=True)
class Limits:
    """What reading a head file may take: bytes of memory, of the source and of the result; seconds."""

    memory: int = 5 << 30
    source: int = 1 << 30
    output: int = 3 << 30
    cpu_seconds: int = 90
    seconds: float = 180.0


@dataclass(frozen=True)
class Source:
    """A head file that was read: its kind, its own name for the model, its hash, and the checked arrays."""

    kind: str
    member: str
    sha256: str
    arrays: dict[str, np.ndarray]


def read_head_file(path: Path, limits: Limits | None = None) -> Source:
    """Read a user's head file or folder without trusting it.

    Args:
        path: a FLAME ``.pkl`` or ``.zip``, an ICT-FaceKit folder or ``.npz``, a GNM ``.npz``, or a head of our own.
        limits: what the reading may take.

    Raises:
        UserError: there is no such file, or what it holds is refused; the reason is in the message.
    """
    limits = limits or Limits()
    sha256 = _hash(path, limits)
    with scratch_folder() as folder:
        out = folder / "arrays.npz"
        request = {
            "path": str(path.resolve()),
            "out": str(out),
            "memory": limits.memory,
            "seconds": limits.cpu_seconds,
            "output": limits.output,
            "most": limits.source,
        }
        answer = _run_child(request, str(folder), limits)
        if "refused" in answer:
            raise UserError(*answer["refused"])
        with np.load(out, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    return Source(str(answer["kind"]), Path(str(answer["member"])).name, sha256, arrays)


def _run_child(request: dict[str, object], folder: str, limits: Limits) -> dict[str, str | list[str]]:
    """Run the reading process and return its answer."""
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(gaussavatar.__file__).resolve().parents[1]),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }
    command = [sys.executable, "-P", "-s", "-B", "-m", "gaussavatar.head.safe.sandbox_child", json.dumps(request)]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _exhausted(f"more than {limits.seconds:g} seconds") from error
    if done.returncode in (0, REFUSED):
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            raise _exhausted("an answer that is none") from error
    if done.returncode < 0 or b"MemoryError" in done.stderr or done.returncode == 137:
        raise _exhausted(f"an end by signal {-done.returncode}" if done.returncode < 0 else "too much memory")
    if b"No space left on device" in done.stderr:
        raise UserError("free disk space", f"a full disk while writing {folder}", "free some space and run again")
    raise RuntimeError(f"the process that reads head files failed: {done.stderr.decode(errors='replace')[-2000:]}")


def _exhausted(came: str) -> UserError:
    return UserError(
        "a head file that can be read within its limits of time and memory", came, "check where the file comes from"
    )


def _hash(path: Path, limits: Limits) -> str:
    """SHA-256 of a file, or of the names and hashes of a folder's OBJ files.

    Raises:
        UserError: it cannot be read, is no plain file or folder, or is too large.
    """
    try:
        if path.is_dir():
            return _hash_folder(path, limits)
        return _hash_file(path, limits)
    except OSError as error:
        raise UserError("a head model's file or folder", f"{path} ({error.strerror})", "check the path") from error


def _hash_folder(folder: Path, limits: Limits) -> str:
    """SHA-256 of the names and hashes of the OBJ files of a folder and of its folder FaceXModel."""
    digest, total = hashlib.sha256(), 0
    for entry in sorted([*folder.glob("*.obj"), *folder.glob("FaceXModel/*.obj")]):
        if entry.is_file() and entry.resolve().is_relative_to(folder.resolve()):
            total += entry.stat().st_size
            if total > limits.source:
                raise UserError(
                    f"at most {limits.source >> 20} MiB", f"more in {folder}", "give ICT-FaceKit's folder FaceXModel"
                )
            digest.update(f"{entry.relative_to(folder)} {_hash_file(entry, limits)}\n".encode())
    return digest.hexdigest()


def _hash_file(path: Path, limits: Limits) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UserError(
                "a plain file or a folder", f"{path}, which is a device or pipe", "give the model's own file"
            )
        if status.st_size > limits.source:
            raise UserError(
                f"at most {limits.source >> 20} MiB",
                f"{status.st_size >> 20} MiB in {path}",
                "give the model's own file",
            )
        return hashlib.file_digest(file, "sha256").hexdigest()
