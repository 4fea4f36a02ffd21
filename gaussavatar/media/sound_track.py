"""The sound of a video that is written: from which moment, how long, and in which codec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ffmpeg

from gaussavatar.media.process import LOCAL_ONLY, file_url
from gaussavatar.media.sound_file import ON_ITS_CLOCK, SoundSource, sound_source

_CODECS: dict[str, dict[str, Any]] = {
    ".mov": {"acodec": "pcm_s16le"},
    ".webm": {"acodec": "libopus", "audio_bitrate": "160k"},
}
_MP4 = {"acodec": "aac", "audio_bitrate": "192k"}


@contextmanager
def sound_inputs(audio: Path | None, start: float, target: Path) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """The streams and encoder options that put a sound into a video file; none where there is no sound.

    Raises:
        UserError: the sound cannot be read.
    """
    if audio is None:
        yield [], {}
        return
    with sound_source(audio) as source:
        yield [sound_stream(source, start)], sound_options(target, source.rate)


def whole_sound(audio: SoundSource) -> Any:
    """A sound on its file's clock: what it does not say from time 0 on is silence."""
    stream = ffmpeg.input(file_url(audio.path), protocol_whitelist=LOCAL_ONLY)[str(audio.index)]
    if audio.late:
        stream = stream.filter("asetpts", f"PTS+{audio.late:.6f}/TB")
    return stream.filter("aresample", **ON_ITS_CLOCK, first_pts=0)


def sound_stream(audio: SoundSource, start: float = 0.0) -> Any:
    """A sound from a moment on, followed by silence without end."""
    stream = whole_sound(audio)
    if start > 0:
        stream = stream.filter("atrim", start=f"{start:.6f}").filter("asetpts", "PTS-STARTPTS")
    return stream.filter("apad")


def sound_options(path: Path, rate: int | None) -> dict[str, Any]:
    """Encoder options of the sound of a video file, by its extension; ``rate`` is that of the source."""
    suffix = path.suffix.lower()
    # An AAC packet of 1024 samples must be shorter than a video frame, so low rates are raised; Opus knows 48000 only.
    kept = suffix != ".webm" and rate in (44100, 48000)
    return {**_CODECS.get(suffix, _MP4), "ar": rate if kept else 48000}
