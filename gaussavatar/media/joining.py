"""Videos one after the other, without encoding a picture again, with one sound for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ffmpeg

from gaussavatar.media.process import LOCAL_ONLY, file_url
from gaussavatar.media.sound_track import sound_inputs
from gaussavatar.media.writing import compile_output, encode
from gaussavatar.storage import atomic_path


def join_videos(
    path: Path,
    parts: Sequence[Path],
    lengths: Sequence[float],
    *,
    audio: Path | None = None,
    audio_start: float = 0.0,
    seconds: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write videos that one encoder made one after the other as one video.

    Args:
        path: The file to write, replaced atomically; of the parts' kind.
        parts: Videos without sound, all in one folder, in which a list of them is written.
        lengths: How long each is shown, seconds. Part k begins where those before it end, to a microsecond, so that
            nothing adds up.
        audio: A sound file, encoded once.
        audio_start: The moment of the sound with which the video begins, seconds.
        seconds: Length of the sound track.
        metadata: As for :func:`gaussavatar.media.writing.write_video`.

    Raises:
        UserError: the path cannot be written, the disk is full, or the sound cannot be read.
    """
    listing = parts[0].with_name("parts.txt")
    entries = (f"file {part.name}\nduration {length:.6f}\n" for part, length in zip(parts, lengths, strict=True))
    listing.write_text("ffconcat version 1.0\n" + "".join(entries))
    options: dict[str, Any] = {"vcodec": "copy", "map_metadata": -1}
    if path.suffix.lower() == ".mp4":
        options["movflags"] = "+faststart"
    picture = ffmpeg.input(file_url(listing), f="concat", safe=1, protocol_whitelist=LOCAL_ONLY)["v:0"]
    if audio is not None and seconds is not None:
        options["t"] = f"{seconds:.6f}"
    with atomic_path(path) as temporary, sound_inputs(audio, audio_start, path) as (sounds, encoded):
        command = compile_output([picture, *sounds], temporary, {**options, **encoded}, metadata or {})
        encode(command, (), (0, 0, 0), path)
