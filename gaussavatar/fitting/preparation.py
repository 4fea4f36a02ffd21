"""The stages from a video to records on disk, which come before any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from gaussavatar.audio.features.beside import copy_beside, files_beside
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.marks import find_marks, load_marks, save_marks, unmarked, without_marked
from gaussavatar.capture.store import load_capture
from gaussavatar.capture.video import PACKED, capture_video
from gaussavatar.fitting.recipe import FitConfig
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.stages import Stage
from gaussavatar.head.installed import get_head, head_key
from gaussavatar.landmarks.detect import detect_landmarks, load_landmarks, save_landmarks
from gaussavatar.progress import Progress
from gaussavatar.quality.alignment import align_sound, load_sound_record
from gaussavatar.quality.records import load_quality
from gaussavatar.quality.stage import check_quality
from gaussavatar.segmentation.parser import open_parser
from gaussavatar.segmentation.stage import segment_capture
from gaussavatar.storage import file_key, write_arrays
from gaussavatar.tracking.face.appearance import mouth_appearance
from gaussavatar.tracking.face.motion import extract_motion, load_motion, save_motion
from gaussavatar.tracking.head.fit import arkit_track, fit_head, shape_head
from gaussavatar.tracking.head.signals import face_signals, save_face_signals, score_faces
from gaussavatar.tracking.head.track import load_head_track, save_head_track
from gaussavatar.tracking.poses.fit import load_tracking, refit_to_poses, save_tracking, track_landmarks
from gaussavatar.tracking.poses.photometric import align_to_skin, with_known_focal
from gaussavatar.tracking.poses.transforms import write_transforms
from gaussavatar.training.layout import FitLayout
from gaussavatar.types import Landmarks

PREPARED = ("capture", "landmarks", "tracking", "sound", "head", "masks", "appearance", "quality")
"""The names of :func:`preparation_stages`; what they leave can be shared by fits that differ only in training."""


@dataclass(frozen=True)
class Job:
    """A request on its way: the recipe that it comes to, the folder that it fills, and who is told."""

    request: FitRequest
    config: FitConfig
    layout: FitLayout
    progress: Progress

    @property
    def capture(self) -> CaptureLayout:
        """The capture folder."""
        return self.layout.capture


def preparation_stages(job: Job) -> tuple[Stage, ...]:
    """Capture, landmarks, poses, the sound's place, head, masks, the inside of the mouth, and the quality page."""
    request, config, plain = job.request, job.config, msgspec.to_builtins
    source = file_key(request.video) if request.video.is_file() else str(request.video)
    beside = [file_key(path) for path in files_beside(config.audio.features, request.video).values() if path.is_file()]
    return (
        Stage("capture", 5, (source, plain(config.capture), request.av_offset_ms or 0.0), lambda _: _capture(job)),
        Stage("landmarks", 5, (), lambda _: _detect(job), ("capture",)),
        Stage(
            "tracking",
            8,
            (*map(plain, (config.tracking, config.motion, config.photometric)), request.focal, head_key(request.head)),
            lambda _: _track(job),
            ("capture", "landmarks"),
        ),
        Stage(
            "sound",
            1,
            (request.av_offset_ms is not None, *beside),
            lambda _: _place_sound(job),
            ("capture", "landmarks", "tracking"),
            tell=lambda: f"sound: {load_sound_record(job.capture.folder).summary}",
        ),
        Stage(
            "head",
            3,
            (plain(config.head), file_key_of(request.blendshapes), head_key(request.head)),
            lambda _: _fit_head(job),
            ("capture", "landmarks", "tracking"),
        ),
        Stage(
            "masks",
            7,
            (config.image_size, plain(config.segmentation), file_key_of(request.parser)),
            lambda _: _segment(job),
            ("capture", "landmarks", "tracking", "head"),
        ),
        Stage(
            "appearance",
            2,
            (plain(config.appearance),),
            lambda _: _look_into_mouth(job),
            ("capture", "landmarks", "tracking"),
        ),
        Stage(
            "quality",
            2,
            (),
            lambda _: check_quality(job.capture.folder, config.image_size, job.progress),
            ("capture", "landmarks", "tracking", "sound", "head", "masks"),
        ),
    )


def told_quality(capture: CaptureLayout) -> str:
    """What the clip is good for, in a line, and where it is said at length."""
    return f"quality: {load_quality(capture.folder).summary}; see {capture.quality_page}"


def mask_bytes(config: FitConfig) -> int:
    """Bytes per frame that the masks take on disk at most, as a rule: mattes, parts, what is behind, other frames.

    Measured at 512 px, in bytes per sample: mattes .045, parts .11, what is behind, the frame but for the head, .07.
    """
    samples = 0.06 * 4 + 0.15 * 2 + 0.1 * 3 + (0 if config.image_size == config.capture.size else 3 * PACKED)
    return round(samples * config.image_size**2)


def file_key_of(path: Path | None) -> str | None:
    """The key of a file's content; None without a file."""
    return None if path is None else file_key(path)


def usable_landmarks(folder: Path) -> Landmarks:
    """The landmarks of a capture folder; frames with a hand before the face or another person count as without."""
    layout = CaptureLayout(folder)
    landmarks = load_landmarks(layout.landmarks)
    return without_marked(landmarks, load_marks(folder)) if layout.marks.exists() else landmarks


def _capture(job: Job) -> None:
    capture_video(
        job.request.video,
        job.capture.folder,
        job.config.capture,
        job.progress,
        av_offset_ms=job.request.av_offset_ms or 0.0,
        later_bytes_per_frame=mask_bytes(job.config),
    )


def _detect(job: Job) -> None:
    capture, progress = load_capture(job.capture.folder), job.progress
    frames = capture.frames()
    images = (frames.read(index) for index in range(len(frames)))
    landmarks = detect_landmarks(images, capture.size, n_total=len(frames), progress=progress)
    save_marks(capture.folder, find_marks(frames, landmarks, progress))
    save_landmarks(capture.layout.landmarks, landmarks)


def _track(job: Job) -> None:
    """Poses and face shapes from landmarks, the face's motion, then poses from the skin itself."""
    capture, config, request, progress = load_capture(job.capture.folder), job.config, job.request, job.progress
    folder, layout = capture.folder, capture.layout
    marks, landmarks = load_marks(folder), usable_landmarks(folder)
    focal_px = capture.focal_px() if request.focal is None else request.focal * capture.size / capture.crop[2]
    with progress.stage("tracking", 3) as advance:
        tracking = unmarked(track_landmarks(landmarks, config.tracking, focal_px=focal_px), marks)
        advance(1)
        # The motion belongs to the landmarks' own poses: what a detector gets wrong as the head turns, it gets wrong
        # for lips and lids alike, and these poses take that out.
        save_motion(layout.motion, extract_motion(landmarks, tracking, config.motion))
        advance(1)
        head = shape_head(get_head(request.head), tracking)
        advance(1)
    scratch = layout.skin
    try:
        source_px = capture.size / capture.crop[2]
        settings = config.photometric if request.focal is None else with_known_focal(config.photometric)
        aligned = align_to_skin(capture.frames(), tracking, head, settings, scratch, progress, source_px)
    finally:
        for path in (scratch, scratch.with_name(scratch.name + ".json")):
            path.unlink(missing_ok=True)
    aligned = refit_to_poses(landmarks, aligned, config.tracking)
    save_tracking(layout.tracking, replace(aligned, valid=tracking.valid))
    write_transforms(layout.transforms, aligned, layout.frames.name)


def _place_sound(job: Job) -> None:
    """The sound in step with the lips, and what the user has put beside it."""
    capture, request = load_capture(job.capture.folder), job.request
    tracked = load_tracking(capture.layout.tracking)
    placed = align_sound(capture, load_motion(capture.layout.motion), tracked, asked=request.av_offset_ms is not None)
    if capture.audio is not None:
        late_ms = (request.av_offset_ms or 0.0) + placed.moved_ms
        copy_beside(job.config.audio.features, request.video, capture.layout.audio, late_ms)


def _fit_head(job: Job) -> None:
    """The person's head in every frame, and the channels that a face has names for."""
    capture, request, progress = load_capture(job.capture.folder), job.request, job.progress
    folder, layout = capture.folder, capture.layout
    landmarks, tracking = usable_landmarks(folder), load_tracking(layout.tracking)
    with progress.stage("head", 2) as advance:
        track = fit_head(get_head(request.head), landmarks, tracking, job.config.head)
        advance(1)
        scores = None
        if request.blendshapes is not None:
            frames = capture.frames()
            scores, _ = score_faces((frames.read(index) for index in range(len(frames))), request.blendshapes)
        named = track if scores is not None else arkit_track(track, landmarks, tracking)
        save_face_signals(layout.face_signals, face_signals(named, landmarks, tracking, scores))
        save_head_track(folder, track)
        advance(1)


def _look_into_mouth(job: Job) -> None:
    """Codes of what the mouth shows besides its outline, beside the motion."""
    capture, config, progress = load_capture(job.capture.folder), job.config, job.progress
    folder, layout = capture.folder, capture.layout
    layout.appearance.unlink(missing_ok=True)
    if config.appearance.n_codes == 0:
        return
    landmarks, tracking = usable_landmarks(folder), load_tracking(layout.tracking)
    motion, store = load_motion(layout.motion), capture.frames()
    with progress.stage("inside of the mouth", len(store)) as advance:
        frames = (_told(store.read(index), advance) for index in range(len(store)))
        codes = mouth_appearance(frames, landmarks, tracking, motion, config.appearance)
        write_arrays(layout.appearance, {"codes": codes})


def _told(frame: np.ndarray, advance: Callable[[int], None]) -> np.ndarray:
    advance(1)
    return frame


def _segment(job: Job) -> None:
    capture, config, request = load_capture(job.capture.folder), job.config, job.request
    folder, layout = capture.folder, capture.layout
    segment_capture(
        capture,
        load_landmarks(layout.landmarks),
        load_tracking(layout.tracking),
        layout.segmentation(config.image_size).folder,
        config.image_size,
        config.segmentation,
        job.progress,
        head_track=load_head_track(folder),
        parser=None if request.parser is None else open_parser(request.parser),
    )
