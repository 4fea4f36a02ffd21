"""A sound as every browser plays it, small."""

from __future__ import annotations

import subprocess
from pathlib import Path

import ffmpeg

from gaussavatar.media.probe import probe, require_sound
from gaussavatar.media.process import QUIET, find_ffmpeg, last_messages, running, undecodable
from gaussavatar.media.sound_file import SoundSource, sound_source
from gaussavatar.media.sound_track import whole_sound

BITRATE = "96k"


def read_as_mp3(path: Path) -> bytes:
    """The sound of a file as mono MP3 of 96 kbit/s.

    Raises:
        UserError: no such file, no sound in it, or it cannot be decoded.
    """
    require_sound(probe(path))
    with sound_source(path) as source:
        return _encoded(path, source)


def _encoded(path: Path, source: SoundSource) -> bytes:
    options = {"format": "mp3", "acodec": "libmp3lame", "audio_bitrate": BITRATE, "ac": 1, "ar": 44100}
    stream = whole_sound(source).output("pipe:", map_metadata=-1, **options)
    command = ffmpeg.compile(stream.global_args(*QUIET), cmd=find_ffmpeg())
    with running(command, stdout=subprocess.PIPE) as (process, log):
        data = process.stdout.read()  # type: ignore[union-attr]
        code = process.wait()
        messages = last_messages(log)
    if code != 0 or not data:
        raise undecodable(path, messages)
    return data
