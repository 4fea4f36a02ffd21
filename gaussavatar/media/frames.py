"""Frames of a video, decoded by ffmpeg and taken from a pipe: upright, at an even rate, as a screen shows them.

Graphs are built with ffmpeg-python and run with an explicit binary (see :mod:`gaussavatar.media.process`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError
from gaussavatar.media.colour import Colour, can_map_tones, to_bt709, to_sdr
from gaussavatar.media.probe import MediaInfo, probe, require_video
from gaussavatar.media.process import (
    LOCAL_ONLY,
    QUIET,
    file_url,
    fill_from,
    find_ffmpeg,
    last_messages,
    running,
    undecodable,
)

ENOUGH_DECODED = 0.95
"""A file that ffmpeg complains about must still decode to this part of its announced length."""


def read_frames(
    video: Path | MediaInfo,
    *,
    width: int,
    height: int,
    crop: tuple[int, int, int] | None = None,
    fps: float | None = 25.0,
    start: float | None = None,
    seconds: float | None = None,
    keyframes_only: bool = False,
    complaints: list[str] | None = None,
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Decode frames as RGB, turned upright, at a constant rate, scaled to ``width`` x ``height``.

    Args:
        video: Any video that ffmpeg reads, or what :func:`probe` said of it, which saves looking again.
        width: Width of the frames that come out, pixels.
        height: Their height, pixels.
        crop: Square ``(x, y, side)`` in shown source pixels; what lies outside the picture repeats its border.
        fps: Frames per second; frame i shows the source at ``start + i / fps``. None passes every frame once.
        start: First moment, seconds.
        seconds: Length to read.
        keyframes_only: Decode key frames alone (fast); with ``fps`` each is repeated until the next.
        complaints: Takes what the decoder said at the end, if anything.

    Raises:
        UserError: no video, undecodable, or cut off (errors and under 95 % of the announced length).
    """
    info = video if isinstance(video, MediaInfo) else probe(video)
    path = info.path
    if not info.has_video:
        require_video(info)
    command = _frames_command(info, width, height, crop, fps, start, seconds, keyframes_only)
    count = 0
    with running(command, stdout=subprocess.PIPE) as (process, log):
        while True:
            image = np.empty((height, width, 3), np.uint8)
            if not fill_from(process.stdout, image):  # type: ignore[arg-type]
                break
            count += 1
            yield image
        code = process.wait()
        messages = last_messages(log)
    if complaints is not None:
        complaints += messages
    whole = start is None and seconds is None and not keyframes_only
    announced = info.seconds * (fps or info.fps or 0.0)
    if code != 0 and not (whole and count >= ENOUGH_DECODED * announced > 0):
        raise undecodable(path, messages)
    if count == 0 and not keyframes_only:
        raise undecodable(path, messages or ["no picture in the wanted stretch"])
    if whole and messages and count < ENOUGH_DECODED * announced:
        raise UserError(
            f"a whole video of {info.seconds:.1f} s in {path}",
            f"a cut-off or damaged file ({count / (fps or info.fps or 1.0):.1f} s can be decoded: {messages[-1]})",
            "copy or export the file again",
        )


def _frames_command(
    info: MediaInfo,
    width: int,
    height: int,
    crop: tuple[int, int, int] | None,
    fps: float | None,
    start: float | None,
    seconds: float | None,
    keyframes_only: bool,
) -> Sequence[str]:
    options: dict[str, Any] = {"protocol_whitelist": LOCAL_ONLY}
    if start is not None:
        options["ss"] = f"{start:.3f}"
    if seconds is not None:
        options["t"] = f"{seconds:.3f}"
    if keyframes_only:
        options["skip_frame"] = "nokey"
    if not info.rotation:
        # A graph that is built anew where the picture changes would count its frames from the beginning again.
        options["reinit_filter"] = 0
    stream = ffmpeg.input(file_url(info.path), **options)["V"]
    if not info.rotation:
        stream = _of_one_size(stream, info)
    if info.late and start is None:
        stream = stream.filter("setpts", f"PTS+{info.late:.6f}/TB")
    if info.interlaced and not keyframes_only:
        stream = stream.filter("bwdif", mode="send_frame")
    if fps is not None:
        # Counting from time 0, not from the first frame, keeps the picture in step with the sound.
        # The last key frame's own length rounds to nothing at a low rate, so there it is passed on.
        stream = stream.filter("fps", fps=f"{fps:g}", start_time=0, eof_action="pass" if keyframes_only else "round")
    if not info.square_pixels:
        stream = stream.filter("scale", info.width, info.height).filter("setsar", 1)
    if crop is not None:
        stream = _crop(stream, crop, info.width, info.height)
    source_side = crop[2] if crop is not None else info.width
    flags = ("area" if source_side > width else "bicubic") + "+accurate_rnd+full_chroma_int"
    stream = _on_a_screen(stream, info.colour, {"w": width, "h": height, "flags": flags})
    stream = stream.output("pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
    # Broken pictures alone shall not end the run: read_frames judges by how much was decoded.
    return ffmpeg.compile(stream.global_args(*QUIET, "-max_error_rate", "1"), cmd=find_ffmpeg())


def _of_one_size(stream: Any, info: MediaInfo) -> Any:
    """Frames as large as the first, where the picture's size changes within the file; edges where its shape does."""
    wide, high = info.coded_width, info.coded_height
    stream = stream.filter("scale", wide, high, force_original_aspect_ratio="decrease", flags="bicubic+accurate_rnd")
    # Edges of pictures with halved chroma are even, and so are sides with edges: an odd one is cut again.
    stream = stream.filter("pad", wide + wide % 2, high + high % 2, "(ow-iw)/2", "(oh-ih)/2", eval="frame")
    return stream.filter("crop", wide, high, 0, 0, exact=1) if wide % 2 or high % 2 else stream


def _on_a_screen(stream: Any, colour: Colour, scaled: Mapping[str, Any]) -> Any:
    """The picture at its final size, in the colours of BT.709."""
    if (colour.hdr is not None or colour.wide) and can_map_tones(find_ffmpeg()):
        stream = stream.filter("setparams", **colour.meant).filter("scale", **scaled)
        return to_sdr(stream) if colour.hdr is not None else to_bt709(stream)
    if not colour.said:
        scaled = {**scaled, "in_color_matrix": colour.meant["colorspace"]}
    return stream.filter("scale", **scaled)


def _crop(stream: Any, crop: tuple[int, int, int], width: int, height: int) -> Any:
    x, y, side = crop
    left, top = max(0, -x), max(0, -y)
    right, bottom = max(0, x + side - width), max(0, y + side - height)
    if left or top or right or bottom:
        stream = stream.filter("pad", width + left + right, height + top + bottom, left, top)
        stream = stream.filter("fillborders", left=left, top=top, right=right, bottom=bottom, mode="smear")
    return stream.filter("crop", side, side, x + left, y + top, exact=1)
