"""A video of any kind becomes square frames and 16 kHz sound in a capture folder."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from gaussavatar.capture.exposure import EvenLight, UsualLight, usual_light
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.prescan import crops_of, in_one_light, prescan
from gaussavatar.capture.store import Capture, save_capture
from gaussavatar.capture.suitability import Sample, check_samples, choose_crop
from gaussavatar.errors import UserError
from gaussavatar.media.colour import can_map_tones
from gaussavatar.media.damage import damage_of, refuse_damaged
from gaussavatar.media.frames import read_frames
from gaussavatar.media.packed import packed_writer
from gaussavatar.media.probe import MediaInfo, probe, require_video
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import hear
from gaussavatar.progress import Progress
from gaussavatar.storage import atomic_path, remove_leftovers
from gaussavatar.types import ANALYSIS_RATE, VIDEO_FPS

_SPARE_DISK_BYTES = 1 << 30
"""For checkpoints, records, and what lies there for a while."""
PACKED = 0.45
"""Share of their bytes that packed frames take at most, as a rule: .21 to .35 on seven clips, .43 with added noise."""
_WORTH_SAYING = 2e9
"""Bytes on disk from which on they are said before they are written."""
_MAX_OFFSET_MS = 2000.0
_LOW_RATE = 23.0
_MUCH_DAMAGED = 0.05
"""Part of a refused video's pictures that is damaged, from which on the damage is what is told."""
_SEEN_HEIGHT = 0.3
"""A second face of this part of the first one's height is worth a word; larger ones may be refused."""


@dataclass(frozen=True)
class CaptureConfig:
    """How a video is captured.

    Attributes:
        size: side of the pictures.
        face_fraction: wanted height of the face over it.
        min_face_px, min_seconds: what is refused below.
        even_exposure: take the camera's changes of exposure and white balance out.
    """

    size: int = 512
    face_fraction: float = 0.42
    min_face_px: float = 100.0
    min_seconds: float = 5.0
    even_exposure: bool = True


def capture_video(
    video: Path,
    folder: Path,
    config: CaptureConfig,
    progress: Progress,
    *,
    av_offset_ms: float = 0.0,
    later_bytes_per_frame: int = 0,
) -> Capture:
    """Capture ``video`` into ``folder``: ``frames.u8``, ``audio.wav`` (if any) and, last, ``capture.json``.

    Args:
        video: Any video that ffmpeg reads.
        folder: The capture folder.
        config: Size and limits.
        progress: Where to report.
        av_offset_ms: How much later than its picture the video's sound comes, as the quality page reports it;
            ``audio.wav`` is moved earlier by so much (later where it is negative).
        later_bytes_per_frame: What later stages will write beside the frames; the disk has to have room for it too.

    Raises:
        UserError: not a usable video (see :func:`gaussavatar.capture.suitability.check_samples`), too short,
            cut off, the offset is out of reason, or the disk is full.
    """
    check_av_offset(av_offset_ms)
    info = probe(video)
    require_video(info)
    _check_length(info.seconds, video, config)
    notes = source_notes(info)
    heard = hear(video) if info.has_audio else None
    if heard is not None:
        notes += heard.notes
    for note in notes:
        progress.say(f"{video.name}: {note}")
    samples = prescan(info, progress)
    try:
        person = check_samples(in_one_light(samples), video.name, config.min_face_px)
    except UserError:
        _check_whole(info, samples)
        # What is told of a damaged picture is true of the damage, not of the person.
        refuse_damaged(video, _MUCH_DAMAGED)
        raise
    crop = choose_crop(person, info.width, info.height, config.face_fraction)
    _clean(folder)
    _check_space(folder, info.seconds, config.size, later_bytes_per_frame, progress)
    complaints: list[str] = []
    usual = usual_light(crops_of(samples, info, crop)) if config.even_exposure else None
    if usual is not None:
        notes.append(_exposure_note(usual))
        progress.say(f"{video.name}: {notes[-1]}")
    n_frames = _write_frames(info, folder, crop, config, usual, progress, complaints)
    if complaints and (damage := damage_of(video)).damaged:
        notes.append(f"the file is damaged: {damage}; copy or export it again")
        progress.say(f"{video.name}: {notes[-1]}")
    if heard is not None:
        write_sound(CaptureLayout(folder).recorded, shift_sound(heard.waveform.samples, av_offset_ms), n_frames)
    capture = Capture(
        folder=folder,
        size=config.size,
        n_frames=n_frames,
        fps=VIDEO_FPS,
        crop=crop,
        source={
            "name": video.name,
            "seconds": info.seconds,
            "width": info.width,
            "height": info.height,
            "fps": info.fps,
            "codec": info.codec,
            "face_px": float(np.median([sample.face_px for sample in person])),
            "crowd_share": sum(_crowded(sample) for sample in samples) / len(samples),
            "av_offset_ms": float(av_offset_ms),
            "notes": notes,
        },
        audio=CaptureLayout(folder).recorded if heard is not None else None,
    )
    save_capture(capture)
    return capture


def _exposure_note(usual: UsualLight) -> str:
    return (
        f"the camera's exposure or white balance changes (by {usual.changes:.1f} stops); it was evened out by what "
        "stands still behind the person; lock both when you film"
    )


def _crowded(sample: Sample) -> bool:
    return len(sample.heights) > 1 and sample.heights[1] >= _SEEN_HEIGHT * sample.heights[0]


def check_av_offset(milliseconds: float) -> None:
    """Refuse an offset that no recording has.

    Raises:
        UserError: it is not finite or beyond two seconds.
    """
    if not abs(milliseconds) <= _MAX_OFFSET_MS:
        raise UserError(
            f"an audio-video offset within {_MAX_OFFSET_MS:.0f} ms",
            f"{milliseconds:g} ms",
            "give milliseconds by which the sound comes late (negative: early)",
        )


def shift_sound(samples: Float32[np.ndarray, "t"], late_ms: float) -> Float32[np.ndarray, "t"]:
    """The same sound ``late_ms`` earlier (later where negative), at 16 kHz, as long as before; silence fills up."""
    shift = round(late_ms * ANALYSIS_RATE / 1000)
    if shift >= 0:
        return np.pad(samples[shift:], (0, min(shift, len(samples))))
    return np.pad(samples, (min(-shift, len(samples)), 0))[: len(samples)]


def source_notes(info: MediaInfo) -> list[str]:
    """What is unusual about a video and what is done about it, a sentence each."""
    notes = []
    if info.hdr is not None and can_map_tones(find_ffmpeg()):
        notes.append(f"the video is HDR ({info.hdr}); its light was mapped to the standard range")
    elif info.hdr is not None:
        notes.append(
            f"the video is HDR ({info.hdr}) and this ffmpeg cannot convert it (no zscale): colours will look pale; "
            "switch HDR off in the phone's camera, or install a full ffmpeg"
        )
    elif info.colour.wide and can_map_tones(find_ffmpeg()):
        notes.append("the video's colours are wider than a screen's (BT.2020 or P3); they were brought to BT.709")
    elif info.colour.wide:
        notes.append("the video's colours are wider than a screen's and this ffmpeg cannot convert them (no zscale)")
    if info.interlaced:
        notes.append("the video is interlaced; its half pictures were joined")
    if info.varying:
        notes.append("the video's frames come at uneven times; it was read at an even 25 per second")
    if info.fps is not None and info.fps < _LOW_RATE:
        notes.append(f"the video has only {info.fps:.3g} frames per second: lips will look jerky; film at 25 or more")
    return notes


def _check_whole(info: MediaInfo, samples: list[Sample]) -> None:
    """Where the end of a file could not be seen, decode all of it: a cut-off file says so itself.

    Raises:
        UserError: the file is cut off or damaged.
    """
    if not samples or samples[-1].seconds < 0.8 * info.seconds:
        for _ in read_frames(info, width=64, height=64, fps=2.0):
            pass


def _write_frames(
    info: MediaInfo,
    folder: Path,
    crop: tuple[int, int, int],
    config: CaptureConfig,
    usual: UsualLight | None,
    progress: Progress,
    complaints: list[str],
) -> int:
    shape = (config.size, config.size, 3)
    side = config.size
    frames = read_frames(info, width=side, height=side, crop=crop, fps=VIDEO_FPS, complaints=complaints)
    with (
        progress.stage("decoding", round(info.seconds * VIDEO_FPS)) as advance,
        packed_writer(CaptureLayout(folder).frames, shape) as writer,
    ):
        even = (lambda image: image) if usual is None else EvenLight(usual)
        for image in frames:
            writer.append(even(image))
            advance(1)
        _check_length(writer.count / VIDEO_FPS, info.path, config)
        return writer.count


def write_sound(path: Path, samples: Float32[np.ndarray, "t"], n_frames: int) -> None:
    """Write a capture's sound, exactly as long as its frames."""
    import soundfile

    wanted = n_frames * ANALYSIS_RATE // VIDEO_FPS
    samples = np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))
    # Its writer tells a full disk in words of its own, so it writes into memory.
    packed = io.BytesIO()
    soundfile.write(packed, samples, ANALYSIS_RATE, subtype="PCM_16", format="WAV")
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed.getvalue())


def _check_length(seconds: float, video: Path, config: CaptureConfig) -> None:
    if seconds < config.min_seconds:
        raise UserError(
            f"a video of at least {config.min_seconds:.0f} s", f"{seconds:.1f} s in {video.name}", "film longer"
        )


def _clean(folder: Path) -> None:
    """Remove what an earlier, interrupted or differently set capture left."""
    layout = CaptureLayout(folder)
    for path in (layout.record, layout.aligned, layout.sound):
        path.unlink(missing_ok=True)
    remove_leftovers(folder)


def _check_space(folder: Path, seconds: float, size: int, later: int, progress: Progress) -> None:
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    needed = int(seconds * VIDEO_FPS * (size * size * 3 * PACKED + later)) + _SPARE_DISK_BYTES
    old = CaptureLayout(folder).frames
    free = shutil.disk_usage(existing).free + (old.stat().st_size if old.exists() else 0)
    if free < needed:
        raise UserError(
            f"{needed / 1e9:.1f} GB of free disk space for {folder}",
            f"{free / 1e9:.1f} GB",
            "free some space or choose another --out",
        )
    if needed > _WORTH_SAYING:
        progress.say(f"{folder.parent} will take up to {needed / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free")
