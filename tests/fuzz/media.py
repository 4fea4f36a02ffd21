"""Makes the files of :mod:`tests.fuzz.cases`: a flash and a beep at one moment, on a picture of known colours."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from gaussavatar.media.process import bundled_ffmpeg
from tests.fuzz.cases import PROSE, Case

SECONDS = 2.4
MOMENT, LASTING = 1.2, 0.3
"""When flash and beep begin, and how long they last, seconds."""
ELSEWHERE = 0.4
"""When it beeps in the tracks that nobody should hear."""
LATE = 0.5
WHITE = (235, 235, 235)
RED = (200, 40, 40)
_DROPPED = (7, 3)
"""Of so many frames that one is missing where they are uneven."""

_ENCODERS = {
    "h264": ("libx264", "-preset", "ultrafast", "-crf", "6", "-g", "12"),
    "hevc": ("libx265", "-preset", "ultrafast", "-crf", "6", "-x265-params", "log-level=none:keyint=12"),
    "av1": ("libsvtav1", "-preset", "12", "-crf", "12", "-g", "12"),
    "vp9": ("libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "8", "-b:v", "0", "-g", "12"),
    "mpeg4": ("mpeg4", "-q:v", "2", "-g", "12"),
    "mpeg2video": ("mpeg2video", "-q:v", "2", "-g", "12"),
    "mjpeg": ("mjpeg", "-q:v", "2", "-strict", "-1"),
    "prores": ("prores_ks", "-profile:v", "3"),
    "ffv1": ("ffv1",),
    "mp3": ("libmp3lame", "-b:a", "64k"), "opus": ("libopus",), "vorbis": ("libvorbis", "-q:a", "5"),
    "amr_nb": ("libopencore_amrnb", "-b:a", "12.2k"), "mp2": ("mp2", "-b:a", "64k"),
}  # fmt: skip
_MUXERS = {"m4a": "ipod", "mkv": "matroska", "mka": "matroska", "ts": "mpegts", "aac": "adts", "mpg": "mpeg"}
_SAID = {
    "bt709": ("bt709", "bt709", "bt709"), "bt601": ("smpte170m", "smpte170m", "smpte170m"),
    "full": ("bt709", "bt709", "bt709"), "bt2020": ("bt2020", "bt2020-10", "bt2020nc"),
    "p3": ("smpte432", "bt709", "bt709"), "hlg": ("bt2020", "arib-std-b67", "bt2020nc"),
    "pq": ("bt2020", "smpte2084", "bt2020nc"),
}  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What is right of a file that was made, on the file's own clock, which begins with what comes first in it."""

    seconds: float
    """To the end of the picture, or of the sound where there is none."""
    flash: float | None
    beep: float | None
    size: tuple[int, int] | None
    """As it is shown."""
    corner: tuple[int, int] | None
    """Row and column (0 or 1) of the quarter in which the red mark is shown."""


def make(case: Case, folder: Path, frames: bytes | None = None) -> tuple[Path, Truth]:
    """Write a case's file and say what is right of it.

    Args:
        case: what stands in it.
        folder: for it and what it is made of.
        frames: its picture as RGB, as many as the case has; flash and mark when not given.
    """
    plain = folder / f"plain.{case.container}"
    _encode(case, plain, folder, frames)
    before = plain
    if case.turn or case.flip:
        marks = [f"-display_{case.flip}"] if case.flip else ["-display_rotation", str(-case.turn % 360)]
        before = folder / f"turned.{case.container}"
        _ffmpeg([*marks, "-i", plain, "-map", "0", "-c", "copy", before])
    if case.cut:
        before, whole = folder / f"cut.{case.container}", before
        _ffmpeg(["-ss", str(LATE), "-i", whole, "-map", "0", "-c", "copy", before])
    name = f"case{case.number}" + (f".{case.container}" if case.ending is None else f".{case.ending}".rstrip("."))
    path = folder / name
    path.write_bytes(_damaged(case, before.read_bytes()))
    return path, truth_of(case)


def truth_of(case: Case) -> Truth:
    """What is right of a case."""
    picture_late = LATE if case.late == "picture" else 0.0
    sound_late = LATE if case.late == "sound" else 0.0
    hidden = LATE if case.cut else 0.0
    flash = size = corner = None
    seconds = SECONDS + sound_late - hidden
    if case.picture is not None:
        kept = kept_frames(case)
        first = next(frame for frame in kept if frame / case.frame_rate >= MOMENT)
        flash = float(first / case.frame_rate) + picture_late - hidden
        seconds = float(Fraction(_count(case)) / case.frame_rate) + picture_late - hidden
        wide, high = round(case.size[0] * Fraction(case.aspect)), case.size[1]
        size = (high, wide) if case.turn in (90, 270) else (wide, high)
        corner = {0: (0, 0), 90: (0, 1), 180: (1, 1), 270: (1, 0)}[case.turn]
        corner = {"hflip": (0, 1), "vflip": (1, 0)}.get(case.flip, corner)
    return Truth(seconds, flash, None if case.sound is None else MOMENT + sound_late - hidden, size, corner)


def kept_frames(case: Case) -> Sequence[int]:
    """Numbers of the frames that are in the file."""
    every, missing = _DROPPED
    return [frame for frame in range(_count(case)) if not case.uneven or frame % every != missing]


def _count(case: Case) -> int:
    return ceil(SECONDS * case.frame_rate)


def _encode(case: Case, path: Path, folder: Path, frames: bytes | None) -> None:
    words: list[str | Path] = []
    late = ["-itsoffset", str(LATE)]
    if case.picture is not None:
        size = f"{case.size[0]}x{case.size[1]}"
        words += late if case.late == "picture" else []
        words += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-framerate", case.rate, "-i", "pipe:"]
    for track in range(case.tracks if case.sound is not None else 0):
        sound = folder / f"sound{track}.wav"
        moment = MOMENT if track == case.taken else ELSEWHERE
        soundfile.write(sound, beeping(case, moment), case.sampling, subtype="FLOAT")
        words += [*(late if case.late == "sound" else []), "-i", sound]
    inputs = (case.picture is not None) + (case.tracks if case.sound is not None else 0)
    words += [part for number in range(inputs) for part in ("-map", str(number))]
    words += _picture_words(case) if case.picture is not None else []
    if case.sound is not None:
        words += ["-c:a", *_ENCODERS.get(case.sound, (case.sound,)), "-ar", str(case.sampling)]
        words += ["-b:a", "96k"] if case.sound in ("aac", "ac3") else []
        for track in range(case.tracks):
            words += [f"-disposition:a:{track}", "default" if track == case.taken else "0"]
    words += ["-metadata", f"comment={PROSE}", "-metadata", f"title={PROSE}"] if case.prose else []
    muxer = _MUXERS.get(case.container, case.container)
    _ffmpeg([*words, "-f", muxer, path], None if case.picture is None else frames or flashing(case))


def _picture_words(case: Case) -> list[str]:
    """Filters and encoder of the picture."""
    high = case.size[1] >= 720
    said = _SAID.get(case.tags)
    matrix = said[2] if said else "bt709" if high else "smpte170m"
    full = case.tags == "full" or case.picture == "mjpeg"
    # JPEG's own rule: full range and BT.601, whatever the size.
    matrix = "smpte170m" if case.picture == "mjpeg" else matrix
    odd = case.size[0] % 2 or case.size[1] % 2
    deep = case.tags in ("bt2020", "p3", "hlg", "pq")
    form = f"yuv4{'44' if odd and case.picture in ('h264', 'hevc') else '20'}p{'10le' if deep else ''}"
    form = {"prores": "yuv422p10le", "mjpeg": "yuvj444p"}.get(case.picture or "", form)
    sides = "pc" if full else "tv"
    # Pictures whose primaries differ are made from those of a screen, by way of linear light.
    filters = [f"scale=out_color_matrix={matrix}:out_range={sides}:flags=accurate_rnd+full_chroma_int"]
    if case.tags in ("bt2020", "p3"):
        to = f"primaries={'2020' if case.tags == 'bt2020' else 'smpte432'}:transfer=709"
        filters = [
            "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv444p10le",
            "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709",
            "zscale=transfer=linear,format=gbrpf32le",
            f"zscale={to}:matrix={'2020_ncl' if case.tags == 'bt2020' else '709'}:range=tv",
        ]
    tags = ("unknown",) * 3 if said is None else said
    filters += [f"format={form}", f"setparams=color_primaries={tags[0]}:color_trc={tags[1]}:colorspace={tags[2]}"]
    filters += [f"setsar={case.aspect}"]
    if case.uneven:
        every, missing = _DROPPED
        filters += [f"select=not(eq(mod(n\\,{every})\\,{missing}))"]
    return ["-vf", ",".join(filters), "-fps_mode", "passthrough", "-c:v", *_ENCODERS[case.picture or ""]]


def flashing(case: Case) -> bytes:
    """Frames as RGB: the case's colour with a red mark in the first quarter, white for a moment."""
    width, height = case.size
    plain = np.full((height, width, 3), case.colour, np.uint8)
    plain[: height // 3, : width // 3] = RED
    white = np.full_like(plain, WHITE)
    times = [frame / case.frame_rate for frame in range(_count(case))]
    return b"".join((white if MOMENT <= time < MOMENT + LASTING else plain).tobytes() for time in times)


def beeping(case: Case, moment: float) -> np.ndarray:
    """A quiet noise with a tone of half of full scale from ``moment`` on, (t, channels)."""
    time = np.arange(round(SECONDS * case.sampling)) / case.sampling
    noise = 0.003 * np.random.default_rng(case.number).normal(size=len(time))
    sound = noise + 0.5 * np.sin(2 * np.pi * 700 * time) * ((time >= moment) & (time < moment + LASTING))
    rows = np.zeros((len(time), case.channels))
    if case.voice == "all":
        rows[:] = sound[:, None]
    elif case.voice == "opposite":
        rows[:, 0], rows[:, 1] = sound, -sound
    else:
        rows[:, 0 if case.voice == "first" else -1] = sound
    return rows


def _damaged(case: Case, whole: bytes) -> bytes:
    chance = Random(case.number)
    if case.damage == "empty":
        return b""
    if case.damage == "short":
        return whole[: len(whole) * 6 // 10]
    data = bytearray(whole)
    if case.damage == "head":
        data[:16] = bytes(chance.randrange(256) for _ in range(16))
    if case.damage == "flipped":
        for _ in range(12):
            data[chance.randrange(len(data) // 4, len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _ffmpeg(words: Sequence[str | Path], stdin: bytes | None = None) -> None:
    command = [bundled_ffmpeg(), "-hide_banner", "-loglevel", "error", "-y", *map(str, words)]
    done = subprocess.run(command, input=stdin or b"", capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr.decode(errors='replace')[-2000:]}"
