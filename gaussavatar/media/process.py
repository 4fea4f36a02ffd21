"""The ffmpeg binary and its child processes.

Every child writes its messages to a temporary file, never to a pipe, so that none can block on a full pipe.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from gaussavatar.errors import UserError

QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")
LOCAL_ONLY = "file,pipe"
"""Protocols that an input may use: a playlist in disguise must not reach the network."""


NEEDED = ("-f", "lavfi", "-i", "color=s=16x16:d=0.04", "-fps_mode", "passthrough", "-f", "null", "-")
"""A run that only an ffmpeg which is new enough (5.1, of July 2022) finishes."""


def find_ffmpeg() -> str:
    """Path of the ffmpeg binary: ``GAUSSAVATAR_FFMPEG``, else the system's, else the one of imageio-ffmpeg.

    One that is too old for what it is asked is passed over.

    Raises:
        UserError: ``GAUSSAVATAR_FFMPEG`` names no program, or one that is too old; or no ffmpeg is found at all.
    """
    if named := os.environ.get("GAUSSAVATAR_FFMPEG"):
        do = "unset the variable or give the program's path"
        if (found := shutil.which(named)) is None:
            raise UserError("an ffmpeg program in GAUSSAVATAR_FFMPEG", repr(named), do)
        if not new_enough(found):
            raise UserError("an ffmpeg of 5.1 or newer in GAUSSAVATAR_FFMPEG", f"an older one ({named})", do)
        return found
    found = shutil.which("ffmpeg")
    if found is not None and new_enough(found):
        return found
    try:
        return bundled_ffmpeg()
    except (ImportError, RuntimeError) as error:
        came = "none on this machine" if found is None else f"one that is too old ({found})"
        raise UserError(
            "an ffmpeg program of 5.1 or newer", came, "pip install imageio-ffmpeg, or update it"
        ) from error


def bundled_ffmpeg() -> str:
    """Path of the binary that the package imageio-ffmpeg carries.

    Raises:
        ImportError: the package is not there.
        RuntimeError: it carries none for this machine.
    """
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def new_enough(binary: str) -> bool:
    """Whether an ffmpeg does what is asked of it here."""
    return _new_enough(binary, os.stat(binary).st_mtime_ns)


@cache
def _new_enough(binary: str, modified: int) -> bool:
    try:
        done = subprocess.run([binary, *QUIET, *NEEDED], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextmanager
def running(command: Sequence[str], **pipes: Any) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Run ffmpeg; yields the process and its messages' file, and kills it when the block is left early."""
    with tempfile.TemporaryFile() as log:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **pipes, "stderr": log}
        words = [named(word) for word in command]
        process = subprocess.Popen(words, **streams, bufsize=-1 if "stdout" not in pipes else 0)
        try:
            yield process, log
        finally:
            if process.poll() is None:
                process.kill()
            if process.stdout is not None:
                process.stdout.close()
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            process.wait()


def fill_from(pipe: IO[bytes], image: np.ndarray) -> bool:
    """Read a whole image from a pipe; False at the end."""
    view = memoryview(image).cast("B")
    done = 0
    while done < len(view):
        count = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            return False
        done += count
    return True


def last_messages(log: IO[bytes]) -> list[str]:
    """The child's last messages, without the memory addresses that ffmpeg puts in front."""
    end = log.seek(0, os.SEEK_END)
    log.seek(max(0, end - 8192))
    lines = log.read().decode(errors="replace").splitlines()
    return [cleaned for line in lines if (cleaned := re.sub(r"^\[[^\]]*\] *", "", line).strip())]


_STAND_IN = 0x10FF00
"""Bytes of a name that are no UTF-8 stand as these characters while ffmpeg-python has it, which encodes all text."""


def file_url(path: Path) -> str:
    """The path as an ffmpeg address that no name (colon, leading dash) can turn into anything else."""
    return "file:" + re.sub(
        r"[\udc80-\udcff]", lambda byte: chr(_STAND_IN + ord(byte[0]) - 0xDC00), str(path.absolute())
    )


def named(word: str) -> str:
    """A word of a command line with the bytes of :func:`file_url` as the system has them."""
    return re.sub(r"[\U0010ff80-\U0010ffff]", lambda byte: chr(ord(byte[0]) - _STAND_IN + 0xDC00), word)


def undecodable(path: Path, messages: Sequence[str]) -> UserError:
    """What is told of a file that cannot be decoded, with the decoder's last message."""
    reason = messages[-1] if messages else "ffmpeg stopped without a message"
    return UserError(f"decodable media in {path}", f"an error ({reason})", "copy or export the file again")
