"""Video and sound through ffmpeg: probing, reading frames and sound by pipes, writing mp4.

Graphs are built with ffmpeg-python and run with an explicit binary (see :mod:`gaussavatar.media.process`).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError
from gaussavatar.media.colour import HDR_TRANSFERS, can_map_tones, to_sdr
from gaussavatar.media.process import LOCAL_ONLY, QUIET, file_url, fill_from, find_ffmpeg, last_messages, running
from gaussavatar.media.samples import finite, read_samples
from gaussavatar.media.sound_track import sound_options, sound_stream
from gaussavatar.storage import atomic_path
from gaussavatar.types import ANALYSIS_RATE, Waveform

ENOUGH_DECODED = 0.95
"""A file that ffmpeg complains about must still decode to this part of its announced length."""

METADATA_KEYS = ("title", "artist", "album", "comment", "copyright", "date", "description", "genre", "synopsis")
"""Metadata keys that an mp4 keeps in the place where players look for them."""

_LISTING_DEMUXERS = ("tty", "concat", "hls", "dash")
_MIN_SOUND_SECONDS = 0.04
_UNEVEN = 0.005


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds. Sizes are as shown: after rotation and with square pixels.

    ``rotation`` is the clockwise turn in degrees (0, 90, 180, 270) that showing it needs. ``hdr`` is ``PQ`` or ``HLG``
    for pictures of high dynamic range, ``interlaced`` says that a frame holds two half pictures, ``varying`` that the
    frames come at uneven times.
    """

    path: Path
    seconds: float
    width: int
    height: int
    fps: float | None
    rotation: int
    has_video: bool
    has_audio: bool
    codec: str
    square_pixels: bool = True
    audio_rate: int | None = None
    hdr: str | None = None
    interlaced: bool = False
    varying: bool = False


def probe(path: Path) -> MediaInfo:
    """Look at a media file's header; a sound file has ``has_video`` false.

    Raises:
        UserError: no such file, not a media file, or cut off before its index.
    """
    _require_file(path)
    arguments = [find_ffmpeg(), "-hide_banner", "-nostdin", "-protocol_whitelist", LOCAL_ONLY, "-i", file_url(path)]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    text = done.stderr.decode(errors="replace")
    demuxer = re.search(r"^Input #0, ([\w,]+), from", text, re.M)
    if demuxer is None or demuxer[1].split(",")[0] in _LISTING_DEMUXERS:
        raise _not_media(path, text)
    video = re.search(r"^ *Stream #0:\d+.*?: Video: (?!.*\(attached pic\))(.*)$", text, re.M)
    audio = re.search(r"^ *Stream #0:\d+.*?: Audio: (.*)$", text, re.M)
    if video is None and audio is None:
        raise UserError(f"a video or sound file at {path}", "a file with neither", "give another file")
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text)
    seconds = (
        int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else _demuxed_seconds(path)
    )
    rate = re.search(r"(\d+) Hz", audio[1]) if audio else None
    facts = _video_facts(video[1], text) if video else {}
    return MediaInfo(
        path=path,
        seconds=seconds,
        width=facts.get("width", 0),
        height=facts.get("height", 0),
        fps=facts.get("fps"),
        rotation=facts.get("rotation", 0),
        has_video=video is not None,
        has_audio=audio is not None,
        codec=re.split(r"[ ,]", (video or audio)[1])[0],  # type: ignore[index]
        square_pixels=facts.get("square", True),
        audio_rate=int(rate[1]) if rate else None,
        hdr=facts.get("hdr"),
        interlaced=facts.get("interlaced", False),
        varying=facts.get("varying", False),
    )


def _video_facts(line: str, text: str) -> dict[str, Any]:
    size = re.search(r"\b(\d{2,5})x(\d{2,5})\b", line)
    if size is None:
        raise UserError("a video with a known picture size", "an undecodable video stream", "convert the file to mp4")
    width, height = int(size[1]), int(size[2])
    aspect = re.search(r"SAR (\d+):(\d+)", line)
    square = aspect is None or aspect[1] == aspect[2] or "0" in (aspect[1], aspect[2])
    if aspect and not square:
        width = round(width * int(aspect[1]) / int(aspect[2]))
    turn = re.search(r"rotation of (-?[\d.]+) degrees", text)
    rotation = round(-float(turn[1]) / 90) * 90 % 360 if turn else 0
    if rotation in (90, 270):
        width, height = height, width
    rate = re.search(r"([\d.]+)(k?) fps", line)
    fps = float(rate[1]) * (1000 if rate[2] else 1) if rate else None
    ticks = re.search(r"([\d.]+)(k?) tbr", line)
    guessed = float(ticks[1]) * (1000 if ticks[2] else 1) if ticks else fps
    return {
        "width": width,
        "height": height,
        "square": square,
        "rotation": rotation,
        "fps": fps,
        "hdr": next((name for transfer, name in HDR_TRANSFERS.items() if transfer in line), None),
        "interlaced": re.search(r"\b(top|bottom) (coded )?first\b", line) is not None,
        # ffmpeg guesses the rate that the frames seem to be meant for; a mean that lies off it comes from uneven times.
        "varying": bool(fps and guessed and abs(fps - guessed) > _UNEVEN * guessed),
    }


def require_video(info: MediaInfo) -> None:
    """Raise a UserError unless the file has a picture track."""
    if not info.has_video:
        raise UserError(f"a video in {info.path}", f"a sound file ({info.codec})", "give a video of the person")


def require_sound(info: MediaInfo) -> None:
    """Raise a UserError unless the file has a sound track."""
    if not info.has_audio:
        came = "a video without one"
        raise UserError(f"a sound track in {info.path.name}", came, "give a video of the person speaking")


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

    Raises:
        UserError: no video, undecodable, or cut off (errors and under 95 % of the announced length).
    """
    info = video if isinstance(video, MediaInfo) else probe(video)
    path = info.path
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
    whole = start is None and seconds is None and not keyframes_only
    announced = info.seconds * (fps or info.fps or 0.0)
    if code != 0 and not (whole and count >= ENOUGH_DECODED * announced > 0):
        raise _undecodable(path, messages)
    if count == 0 and not keyframes_only:
        raise _undecodable(path, messages or ["no picture in the wanted stretch"])
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
    stream = ffmpeg.input(file_url(info.path), **options)["V"]
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
    flags = "area" if source_side > width else "bicubic"
    stream = stream.filter("scale", width, height, flags=flags + "+accurate_rnd+full_chroma_int")
    if info.hdr is not None and can_map_tones(find_ffmpeg()):
        stream = to_sdr(stream)
    stream = stream.output("pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
    # Broken pictures alone shall not end the run: read_frames judges by how much was decoded.
    return ffmpeg.compile(stream.global_args(*QUIET, "-max_error_rate", "1"), cmd=find_ffmpeg())


def _crop(stream: Any, crop: tuple[int, int, int], width: int, height: int) -> Any:
    x, y, side = crop
    left, top = max(0, -x), max(0, -y)
    right, bottom = max(0, x + side - width), max(0, y + side - height)
    if left or top or right or bottom:
        stream = stream.filter("pad", width + left + right, height + top + bottom, left, top)
        stream = stream.filter("fillborders", left=left, top=top, right=right, bottom=bottom, mode="smear")
    return stream.filter("crop", side, side, x + left, y + top, exact=1)


def read_audio(path: Path, rate: int = ANALYSIS_RATE) -> Waveform:
    """Read a file's sound, mixed to mono, at ``rate`` samples per second; time 0 is the file's time 0.

    Raises:
        UserError: no such file, no audio track, empty or unreadable sound.
    """
    info = probe(path)
    if not info.has_audio:
        raise UserError(f"a sound track in {path}", "a file without audio", "give a file with sound")
    stream = ffmpeg.input(file_url(path), protocol_whitelist=LOCAL_ONLY)["a:0"]
    # Without the limit, equal channels would come out 1.4 times too loud and clip.
    options = {"async": 1, "first_pts": 0, "ochl": "mono", "rematrix_maxval": 1}
    stream = stream.filter("aresample", rate, **options)
    stream = stream.output("pipe:", format="f32le", acodec="pcm_f32le", ar=rate)
    command = ffmpeg.compile(stream.global_args(*QUIET), cmd=find_ffmpeg())
    with running(command, stdout=subprocess.PIPE) as (process, log):
        samples = read_samples(process.stdout.read)  # type: ignore[union-attr]
        code = process.wait()
        messages = last_messages(log)
    if code != 0 and len(samples) < ENOUGH_DECODED * info.seconds * rate:
        raise _undecodable(path, messages)
    if len(samples) < _MIN_SOUND_SECONDS * rate:
        raise UserError(f"sound in {path}", "an empty audio track", "give a file with sound")
    if not finite(samples):
        raise UserError(f"a sound of finite numbers in {path}", "NaN in it", "export the sound again")
    return Waveform(samples, rate, path)


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
) -> None:
    """Write frames as H.264 mp4 with the given sound file, exactly as long as the sound.

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

    Raises:
        UserError: the path cannot be written, the disk is full, or the sound cannot be read.
    """
    if unknown := set(metadata or {}) - set(METADATA_KEYS):
        raise ValueError(f"metadata keys {sorted(unknown)} are lost in an mp4; use {METADATA_KEYS}")
    if audio is not None and seconds is None:
        seconds = read_audio(audio).seconds - audio_start
    with atomic_path(path) as temporary:
        command = _write_command(temporary, fps, size, audio, audio_start, seconds, crf, metadata or {})
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


def _write_command(
    target: Path,
    fps: float,
    size: tuple[int, int],
    audio: Path | None,
    audio_start: float,
    seconds: float | None,
    crf: int,
    metadata: Mapping[str, str],
) -> list[str]:
    picture = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{size[0]}x{size[1]}", framerate=fps)
    picture = picture.video.filter("scale", out_color_matrix="bt709", out_range="tv", flags="accurate_rnd")
    if size[0] % 2 or size[1] % 2:
        picture = picture.filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2")
    options: dict[str, Any] = {
        "vcodec": "libx264", "pix_fmt": "yuv420p", "crf": crf, "preset": "fast", "movflags": "+faststart",
        "color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709", "map_metadata": -1,
    }  # fmt: skip
    streams = [picture]
    if seconds is not None:
        streams = [picture.filter("tpad", stop=-1, stop_mode="clone")]
        options["t"] = f"{seconds:.6f}"
    if audio is not None:
        streams.append(sound_stream(audio, audio_start))
        options |= sound_options(target, probe(audio).audio_rate)
    return compile_output(streams, target, options, metadata)


def compile_output(
    streams: Sequence[Any], target: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[str]:
    """The command line that writes ``streams`` to ``target`` with ``metadata``."""
    entries = {f"metadata:g:{index}": f"{key}={value}" for index, (key, value) in enumerate(metadata.items())}
    graph = ffmpeg.output(*streams, file_url(target), **options, **entries)
    command = ffmpeg.compile(graph, cmd=find_ffmpeg(), overwrite_output=True)
    command = ["-metadata" if re.fullmatch(r"-metadata:g:\d+", part) else part for part in command]
    return [command[0], "-hide_banner", "-loglevel", "error", *command[1:]]


def _demuxed_seconds(path: Path) -> float:
    """Length of a file whose header does not say it: the end of its last packet, else of its last decoded frame."""
    for codec in (("-c", "copy"), ()):
        command = [find_ffmpeg(), *QUIET, "-protocol_whitelist", LOCAL_ONLY, "-i", file_url(path), *codec,
                   "-progress", "pipe:1", "-f", "null", "-"]  # fmt: skip
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        times = [int(time) for time in re.findall(rb"out_time_us=(\d+)", done.stdout)]
        if times and times[-1] > 0:
            return times[-1] / 1e6
    return 0.0


def _require_file(path: Path) -> None:
    if not path.exists():
        raise UserError(f"a media file at {path}", "no such file", "check the path")
    if not path.is_file():
        raise UserError(f"a media file at {path}", "a folder", "give the file itself")
    if not os.access(path, os.R_OK):
        raise UserError(f"a readable file at {path}", "no permission to read it", "change its permissions")
    if path.stat().st_size == 0:
        raise UserError(f"a media file at {path}", "an empty file", "copy or export the file again")


def _not_media(path: Path, text: str) -> UserError:
    with path.open("rb") as file:
        is_mp4 = file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
    if is_mp4 and "moov atom not found" in text:
        return UserError(
            f"a whole video in {path}", "a cut-off file (its index is missing)", "copy or export the file again"
        )
    return UserError(f"a video or sound file at {path}", "a file that ffmpeg cannot read", "give another file")


def _undecodable(path: Path, messages: list[str]) -> UserError:
    reason = messages[-1] if messages else "ffmpeg stopped without a message"
    return UserError(f"decodable media in {path}", f"an error ({reason})", "copy or export the file again")


def _unwritable(path: Path, messages: list[str]) -> UserError:
    reason = messages[-1] if messages else "ffmpeg stopped without a message"
    if any("No space left" in line for line in messages):
        return UserError("free disk space", f"a full disk while writing {path}", "free some space and run again")
    return UserError(f"to write the video {path}", f"an ffmpeg error ({reason})", "choose another output or codec")
