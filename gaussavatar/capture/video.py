"""A video of any kind becomes square frames and 16 kHz sound in a capture folder."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import Capture, save_capture
from gaussavatar.capture.suitability import Sample, check_samples, choose_crop, colour_histogram
from gaussavatar.errors import UserError
from gaussavatar.landmarks.face_mesh import FaceBox, FaceDetector, FaceMesh
from gaussavatar.media.colour import can_map_tones
from gaussavatar.media.damage import damage_of, refuse_damaged
from gaussavatar.media.frames import read_frames
from gaussavatar.media.images import resize
from gaussavatar.media.packed import packed_writer
from gaussavatar.media.probe import MediaInfo, probe, require_video
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import hear
from gaussavatar.progress import Progress
from gaussavatar.storage import atomic_path, remove_leftovers
from gaussavatar.types import ANALYSIS_RATE, VIDEO_FPS

_PRESCAN_SIDE = 960
_SECONDS_PER_SAMPLE = 3.0
_MIN_SAMPLES, _MAX_SAMPLES = 12, 48
_MESH_SIDE = 320
_FINER = 4
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
    """How a video is captured: picture side, wanted face height over side, and what is refused."""

    size: int = 512
    face_fraction: float = 0.42
    min_face_px: float = 100.0
    min_seconds: float = 5.0


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
        person = check_samples(samples, video.name, config.min_face_px)
    except UserError:
        _check_whole(info, samples)
        # What is told of a damaged picture is true of the damage, not of the person.
        refuse_damaged(video, _MUCH_DAMAGED)
        raise
    crop = choose_crop(person, info.width, info.height, config.face_fraction)
    _clean(folder)
    _check_space(folder, info.seconds, config.size, later_bytes_per_frame, progress)
    complaints: list[str] = []
    n_frames = _write_frames(info, folder, crop, config, progress, complaints)
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


def prescan(info: MediaInfo, progress: Progress) -> list[Sample]:
    """Look at key frames, and at frames in between where those are few, with the face detectors."""
    scale = min(1.0, _PRESCAN_SIDE / max(info.width, info.height))
    size = {"width": round(info.width * scale), "height": round(info.height * scale)}
    target = int(np.clip(info.seconds / _SECONDS_PER_SAMPLE, _MIN_SAMPLES, _MAX_SAMPLES))
    samples: list[Sample] = []
    with (
        progress.stage("looking at the video", target) as advance,
        FaceDetector() as boxes,
        FaceMesh(static=True) as mesh,
    ):

        def look(image: np.ndarray, seconds: float) -> None:
            samples.append(_look(image, seconds, scale, boxes, mesh))
            advance(1)

        # At a low constant rate key frames repeat until the next one, which gives each its time.
        rate = min(2.0, _MAX_SAMPLES / max(info.seconds, 1.0))
        previous: np.ndarray | None = None
        for index, image in enumerate(read_frames(info, **size, fps=rate, keyframes_only=True)):
            if previous is None or not np.array_equal(image, previous):
                look(image, index / rate)
            previous = image
        moments = _missing_moments([sample.seconds for sample in samples], info.seconds, target)
        # Each look in between decodes from the key frame before it; with few of those one pass over all is less work.
        if len(moments) * info.seconds / max(1, len(samples)) / 2 > info.seconds:
            moments = []
            _look_all_over(info, size, target, look)
        for moment in moments:
            if (image := _frame_at(info, moment, size)) is not None:
                look(image, moment)
        if len(samples) < _MIN_SAMPLES // 2:
            # Some containers cannot be entered in the middle.
            _look_all_over(info, size, target, look)
    return sorted(samples, key=lambda sample: sample.seconds)


def _look_all_over(
    info: MediaInfo, size: dict[str, int], target: int, look: Callable[[np.ndarray, float], None]
) -> None:
    """Decode the whole file at a low rate, as far as that goes; what is cut off is said by those who need all of it."""
    # A frame may show what comes half an interval later, so the file is read finer than it is looked at.
    rate = _FINER * target / max(info.seconds, 1.0)
    try:
        for index, image in enumerate(read_frames(info, **size, fps=rate)):
            if index % _FINER == _FINER // 2:
                look(image, index / rate)
    except UserError:
        return


def _frame_at(info: MediaInfo, moment: float, size: dict[str, int]) -> np.ndarray | None:
    """The frame at a moment, or None where the file cannot be entered there; decoding it whole will tell."""
    stretch = read_frames(info, **size, start=moment, seconds=0.2)
    try:
        return next(stretch, None)
    except UserError:
        return None
    finally:
        stretch.close()  # type: ignore[attr-defined]


def _missing_moments(known: list[float], seconds: float, target: int) -> list[float]:
    """Moments that split the longest stretches between the known ones until there are ``target``."""
    end = max(0.0, seconds - 0.5)
    moments = sorted([moment for moment in known if moment <= end] or [0.0])
    new: list[float] = [] if known else [0.0]
    while len(moments) < target:
        edges = np.array([*moments, end])
        widest = int(np.argmax(np.diff(edges)))
        middle = float((edges[widest] + edges[widest + 1]) / 2)
        if middle - edges[widest] < 0.1:
            break
        moments.insert(widest + 1, middle)
        new.append(middle)
    return sorted(new)


def _look(
    image: UInt8[np.ndarray, "h w 3"], seconds: float, scale: float, boxes: FaceDetector, mesh: FaceMesh
) -> Sample:
    found = boxes.detect_all(image)
    heights = tuple(box.height / scale for box in found)
    turn = _best_turn(image, found, boxes)
    points = _face_points(image, found[0], mesh) if found else None
    if points is None:
        return Sample(seconds, heights, turn=turn)
    x0, y0 = np.clip(points[:, :2].min(0), 0, None).astype(int)
    x1, y1 = np.ceil(points[:, :2].max(0)).astype(int)
    face = image[y0:y1, x0:x1]
    if face.size == 0:
        return Sample(seconds, heights, turn=turn)
    colours = colour_histogram(face), colour_histogram(image)
    return Sample(seconds, heights, points / np.float32(scale), *colours, turn)


def _best_turn(image: UInt8[np.ndarray, "h w 3"], found: Sequence[FaceBox], boxes: FaceDetector) -> int:
    """The clockwise turn after which the detector is surest of a face, degrees; sideways only where it sees none."""
    scores = {0: found[0].score if found else 0.0}
    for turn in (180,) if found else (180, 90, 270):
        turned = boxes.detect_all(np.ascontiguousarray(np.rot90(image, -turn // 90)))
        scores[turn] = turned[0].score if turned else 0.0
    return max(scores, key=lambda turn: scores[turn])


def _face_points(image: np.ndarray, box: FaceBox, mesh: FaceMesh) -> np.ndarray | None:
    """Landmarks inside twice the face's box, enlarged so that small faces are found as well."""
    side = 2.0 * max(box.width, box.height)
    left, top = box.x + box.width / 2 - side / 2, box.y + box.height / 2 - side / 2
    x0, y0 = int(max(0, left)), int(max(0, top))
    region = image[y0 : int(top + side), x0 : int(left + side)]
    if min(region.shape[:2]) < 8:
        return None
    zoom = _MESH_SIDE / max(region.shape[:2])
    size = (max(8, round(region.shape[1] * zoom)), max(8, round(region.shape[0] * zoom)))
    points = mesh.detect(resize(np.ascontiguousarray(region), size))
    if points is None:
        return None
    return (points / np.float32(zoom) + np.array([x0, y0, 0], np.float32)).astype(np.float32)


def _write_frames(
    info: MediaInfo,
    folder: Path,
    crop: tuple[int, int, int],
    config: CaptureConfig,
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
        for image in frames:
            writer.append(image)
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
