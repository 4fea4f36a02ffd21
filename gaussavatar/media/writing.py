"""Videos out of frames and a sound file, encoded by ffmpeg."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError
from gaussavatar.media.process import file_url, find_ffmpeg, last_messages, running
from gaussavatar.media.sound_file import read_audio
from gaussavatar.media.sound_track import sound_inputs
from gaussavatar.storage import atomic_path

METADATA_KEYS = ("title", "artist", "album", "comment", "copyright", "date", "description", "genre", "synopsis")
"""Metadata keys that an mp4 keeps in the place where players look for them."""


def write_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    fps: float,
    size: tuple[int, int],
    *,
    audio: Path | None = None,
    audio_start: float = 0.0,
    seconds: float | None = None,
    crf: int = 16,
    metadata: Mapping[str, str] | None = None,
    quick: bool = False,
) -> None:
    """Write frames as H.264 (VP9 in .webm) with the given sound file, exactly as long as the sound.

    Args:
        path: The mp4 file, replaced atomically.
        frames: RGB images; the last one is repeated when they end before the sound.
        fps: Frames per second.
        size: Width and height of the frames, pixels.
        audio: A sound file, encoded as it is (not the analysis version).
        audio_start: The moment of the sound with which the video begins, seconds.
        seconds: Length of the video; by default the sound's length, else as long as the frames last.
        crf: x264 quality, smaller is better.
        metadata: Values for :data:`METADATA_KEYS`.
        quick: Spend a third of the time on an H.264 file that is a fifth larger: for pictures that are only looked at.

    Raises:
        UserError: the path cannot be written, the disk is full, or the sound cannot be read.
    """
    if unknown := set(metadata or {}) - set(METADATA_KEYS):
        raise ValueError(f"metadata keys {sorted(unknown)} are lost in an mp4; use {METADATA_KEYS}")
    if audio is not None and seconds is None:
        seconds = read_audio(audio).seconds - audio_start
    with atomic_path(path) as temporary, sound_inputs(audio, audio_start, temporary) as (sounds, options):
        effort = {"preset": "veryfast"} if quick and temporary.suffix.lower() != ".webm" else {}
        options = {"crf": crf, **effort, **options}
        command = _write_command(temporary, fps, size, sounds, seconds, options, metadata or {})
        encode(command, frames, (size[1], size[0], 3), path)


def encode(
    command: Sequence[str], frames: Iterable[UInt8[np.ndarray, "h w c"]], shape: tuple[int, int, int], path: Path
) -> None:
    """Feed frames of ``shape`` to an ffmpeg that writes what will be ``path``.

    Raises:
        UserError: ffmpeg cannot write it.
    """
    with running(command, stdin=subprocess.PIPE) as (process, log):
        try:
            for image in frames:
                if image.shape != shape or image.dtype != np.uint8:
                    raise ValueError(f"expected uint8 {shape}, got {image.dtype} {image.shape}")
                process.stdin.write(np.ascontiguousarray(image).data)  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
        except BrokenPipeError:
            # ffmpeg closes its input when it has enough for the wanted length, or when it failed.
            pass
        if process.wait() != 0:
            raise _unwritable(path, last_messages(log))


_H264: dict[str, Any] = {"vcodec": "libx264", "pix_fmt": "yuv420p", "preset": "fast", "movflags": "+faststart"}
_WEBM: dict[str, Any] = {
    "vcodec": "libvpx-vp9", "pix_fmt": "yuv420p", "video_bitrate": 0, "deadline": "good", "cpu-used": 4, "row-mt": 1,
}  # fmt: skip


def _write_command(
    target: Path,
    fps: float,
    size: tuple[int, int],
    sounds: Sequence[Any],
    seconds: float | None,
    options: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> list[str]:
    picture = picture_input("rgb24", fps, size, seconds)
    common = dict(_WEBM if target.suffix.lower() == ".webm" else _H264)
    if seconds is not None:
        common["t"] = f"{seconds:.6f}"
    return compile_output([picture, *sounds], target, {**common, "map_metadata": -1, **options}, metadata)


def picture_input(kind: str, fps: float, size: tuple[int, int], seconds: float | None) -> Any:
    """Frames from a pipe as an even-sized picture that says of itself that it is BT.709.

    Args:
        kind: pixels as they come, ``rgb24`` or ``rgba``.
        fps: frames per second.
        size: width and height, pixels; odd ones are padded.
        seconds: the last frame stays so long; None ends with the frames.
    """
    picture = ffmpeg.input("pipe:", format="rawvideo", pix_fmt=kind, s=f"{size[0]}x{size[1]}", framerate=fps)
    picture = picture.video.filter("scale", out_color_matrix="bt709", out_range="tv", flags="accurate_rnd")
    if size[0] % 2 or size[1] % 2:
        picture = picture.filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2", color="black@0" if kind == "rgba" else "black")
    if seconds is not None:
        picture = picture.filter("tpad", stop=-1, stop_mode="clone")
    return picture.filter("setparams", color_primaries="bt709", color_trc="bt709", colorspace="bt709", range="tv")


def compile_output(
    streams: Sequence[Any], target: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[str]:
    """The command line that writes ``streams`` to ``target`` with ``metadata``."""
    entries = {f"metadata:g:{index}": f"{key}={value}" for index, (key, value) in enumerate(metadata.items())}
    graph = ffmpeg.output(*streams, file_url(target), **options, **entries)
    command = ffmpeg.compile(graph, cmd=find_ffmpeg(), overwrite_output=True)
    command = ["-metadata" if re.fullmatch(r"-metadata:g:\d+", part) else part for part in command]
    return [command[0], "-hide_banner", "-loglevel", "error", *command[1:]]


def _unwritable(path: Path, messages: list[str]) -> UserError:
    reason = messages[-1] if messages else "ffmpeg stopped without a message"
    if any("No space left" in line for line in messages):
        return UserError("free disk space", f"a full disk while writing {path}", "free some space and run again")
    return UserError(f"to write the video {path}", f"an ffmpeg error ({reason})", "choose another output or codec")
