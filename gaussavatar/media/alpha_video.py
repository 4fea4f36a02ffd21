"""Videos with transparency: ProRes 4444 in .mov for editors, VP9 in .webm for browsers and players."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError
from gaussavatar.media.sound_file import read_audio
from gaussavatar.media.sound_track import sound_inputs
from gaussavatar.media.writing import compile_output, encode, picture_input
from gaussavatar.storage import atomic_path

CODECS: dict[str, dict[str, Any]] = {
    ".mov": {
        "vcodec": "prores_ks", "profile:v": "4444", "pix_fmt": "yuva444p10le", "alpha_bits": 16, "vendor": "apl0",
    },
    ".webm": {
        "vcodec": "libvpx-vp9", "pix_fmt": "yuva420p", "crf": 18, "video_bitrate": 0, "auto-alt-ref": 0,
        "deadline": "good", "cpu-used": 4, "row-mt": 1,
    },
}  # fmt: skip
"""Encoder options by the extension of the file."""


def require_alpha(path: Path) -> None:
    """Raise a UserError unless the file's kind can hold transparency."""
    if path.suffix.lower() not in CODECS:
        raise UserError(
            f"a file that ends in {' or '.join(CODECS)} for a video with transparency",
            f"{path.name}",
            "name one with --out",
        )


def write_alpha_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "h w 4"]],
    fps: float,
    size: tuple[int, int],
    *,
    audio: Path | None = None,
    audio_start: float = 0.0,
    seconds: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write RGBA frames with straight (not premultiplied) alpha, exactly as long as the sound.

    Args:
        path: The .mov or .webm file, replaced atomically.
        frames: RGBA images; the colour should go on smoothly where alpha is 0, since codecs smear it over the edges.
        fps: Frames per second.
        size: Width and height of the frames, pixels.
        audio: A sound file, encoded as it is.
        audio_start: The moment of the sound with which the video begins, seconds.
        seconds: Length of the video; by default the sound's length, else as long as the frames last.
        metadata: As for :func:`gaussavatar.media.writing.write_video`.

    Raises:
        UserError: another extension, the path cannot be written, or the sound cannot be read.
    """
    require_alpha(path)
    if audio is not None and seconds is None:
        seconds = read_audio(audio).seconds - audio_start
    picture = picture_input("rgba", fps, size, seconds)
    options: dict[str, Any] = {**CODECS[path.suffix.lower()], "map_metadata": -1}
    if seconds is not None:
        options["t"] = f"{seconds:.6f}"
    with atomic_path(path) as temporary, sound_inputs(audio, audio_start, path) as (sounds, encoded):
        command = compile_output([picture, *sounds], temporary, {**options, **encoded}, metadata or {})
        encode(command, frames, (size[1], size[0], 4), path)
