"""The quality gate: measure a tracked capture, judge it, and leave a record, an overlay video and a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.offset import AvOffset, estimate_av_offset
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.marks import Marks, load_marks, unmarked
from gaussavatar.capture.store import Capture, load_capture
from gaussavatar.errors import UserError
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.media.sound_file import read_audio
from gaussavatar.progress import Progress
from gaussavatar.quality.alignment import load_sound_record
from gaussavatar.quality.figures import (
    Stretch,
    bridged_gaps,
    camera_figures,
    coverage_figures,
    dropped_frames,
    face_heights,
    head_angles,
    light_figures,
    residual_figures,
    sharpness_figures,
    steadiness_figures,
)
from gaussavatar.quality.overlay import TINTS, open_masks, write_overlay
from gaussavatar.quality.page import Series, Still, write_quality_page
from gaussavatar.quality.pictures import Pictures, measure_pictures, repeated_frames
from gaussavatar.quality.records import Dropped, Quality, save_quality
from gaussavatar.quality.verdict import judge, source_findings
from gaussavatar.segmentation.records import Segmentation, load_segmentation
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.head.track import HeadTrack, load_head_track
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.tracking.poses.smoothness import find_jumps
from gaussavatar.types import VIDEO_FPS, FaceMotion, Landmarks, Tracking


@dataclass(frozen=True)
class Tracked:
    """Everything on disk that the gate looks at; head, masks and marks may be missing.

    Marked frames are not valid in ``tracking``.
    """

    capture: Capture
    landmarks: Landmarks
    tracking: Tracking
    motion: FaceMotion
    head: HeadTrack | None
    segmentation: Segmentation | None
    marks: Marks | None = None


def check_quality(capture_folder: Path, size: int, progress: Progress) -> Quality:
    """Judge a tracked capture; writes ``quality.json``, ``quality.mp4`` and ``quality.html`` into it.

    Args:
        capture_folder: A capture with landmarks, tracking and motion; head track and masks are used where they are.
        size: Side of the pictures that the masks were made for (``segmentation_<size>``).
        progress: Where to report.

    Raises:
        UserError: the capture is unfinished or damaged, or its folder cannot be written.
    """
    layout, tracked = CaptureLayout(capture_folder), load_tracked(capture_folder, size)
    frames = tracked.capture.frames()
    with progress.stage("quality", len(frames)) as advance:
        pictures = measure_pictures(frames, tracked.landmarks, has_person(tracked), advance)
    quality = judge_tracked(tracked, pictures)
    save_quality(capture_folder, quality)
    masks = open_masks(tracked.segmentation, len(frames))
    stills = write_overlay(
        layout.quality_video,
        frames,
        tracked.landmarks,
        tracked.tracking,
        tracked.head,
        masks,
        progress,
        audio=tracked.capture.audio,
    )
    write_quality_page(
        layout.quality_page,
        quality,
        _series(tracked, pictures),
        head_angles(tracked.tracking.R_camera_head[tracked.tracking.valid]),
        layout.quality_video,
        [Still(seconds, image) for seconds, image in stills],
        TINTS if masks else {},
        mesh=tracked.head is not None,
    )
    return quality


def load_tracked(folder: Path, size: int) -> Tracked:
    """Open a capture folder and what tracking left in it.

    Raises:
        UserError: capture, landmarks, tracking or motion are missing or damaged.
    """
    capture = load_capture(folder)
    layout = CaptureLayout(folder)
    masks = layout.segmentation(size).folder
    marks = load_marks(folder) if layout.marks.exists() else None
    tracking = load_tracking(layout.tracking)
    return Tracked(
        capture=capture,
        landmarks=load_landmarks(layout.landmarks),
        tracking=unmarked(tracking, marks) if marks else tracking,
        motion=load_motion(layout.motion),
        head=load_head_track(folder) if layout.head_track.exists() else None,
        segmentation=load_segmentation(masks) if masks.is_dir() else None,
        marks=marks,
    )


def has_person(tracked: Tracked) -> Bool[np.ndarray, "n"]:
    """Frames that show the person's face, with nothing before it."""
    valid = tracked.landmarks.valid
    return valid & ~tracked.marks.any if tracked.marks else valid


def judge_tracked(tracked: Tracked, pictures: Pictures) -> Quality:
    """Figures, verdict and dropped stretches of a tracked clip."""
    capture, landmarks, tracking = tracked.capture, tracked.landmarks, tracked.tracking
    n = capture.n_frames
    repeated = repeated_frames(pictures) & landmarks.valid
    marks = tracked.marks
    reasons = {}
    if marks is not None:
        reasons = {
            "a hand is before the face": marks.hands,
            "another person": marks.strangers,
            "the picture is dark": marks.faded,
        }
    dropped = dropped_frames(landmarks, tracking, reasons)
    bridged, longest_gap = bridged_gaps(landmarks, tracking)
    seen = landmarks.valid if landmarks.valid.any() else np.ones(n, bool)
    face = float(np.median(face_heights(landmarks)[seen])) * capture.crop[2] / landmarks.size
    figures: dict[str, float | None] = {
        "seconds": n / VIDEO_FPS,
        "used_seconds": float(tracking.valid.sum()) / VIDEO_FPS,
        "dropped_share": float((~tracking.valid).mean()),
        "hands_share": float(marks.hands.mean()) if marks else None,
        "stranger_share": float(marks.strangers.mean()) if marks else None,
        "bridged_frames": float(bridged),
        "longest_gap_seconds": longest_gap / VIDEO_FPS,
        "repeated_share": float(repeated.mean()),
        "cuts": float(len(find_jumps(tracking.R_camera_head, tracking.t_camera_head))),
        "face_px": face,
        **sharpness_figures(pictures),
        **light_figures(pictures),
        **coverage_figures(tracking, tracked.motion),
        **steadiness_figures(tracking, tracked.motion),
        **residual_figures(tracking),
        **camera_figures(pictures, capture.size),
        **_plate_figures(tracked.segmentation),
        **_sound_figures(capture, tracked.motion, tracking),
    }
    verdict, findings = judge(figures)
    return Quality(
        verdict=verdict,
        findings=(*findings, *source_findings(capture.source)),
        figures={name: None if value is None else round(float(value), 4) for name, value in figures.items()},
        dropped=tuple(_dropped(stretch) for stretch in dropped),
        source=dict(capture.source),
    )


def _dropped(stretch: Stretch) -> Dropped:
    return Dropped(round(stretch.first / VIDEO_FPS, 2), round(stretch.last / VIDEO_FPS, 2), stretch.reason)


def _plate_figures(segmentation: Segmentation | None) -> dict[str, float | None]:
    if segmentation is None:
        return {}
    figures: dict[str, float | None] = {
        "static_camera": float(segmentation.static_camera),
        "plate_residual": segmentation.plate_residual,
    }
    # Records of older segmentations hold no motion; then what the background's corners say stays.
    if segmentation.camera_motion > 0 or segmentation.camera_travel > 0:
        moved = segmentation.camera_motion if segmentation.static_camera else segmentation.camera_travel
        figures |= {"camera_px": moved, "camera_shake_px": segmentation.camera_motion}
    return figures


def _sound_figures(capture: Capture, motion: FaceMotion, tracking: Tracking) -> dict[str, float | None]:
    offset = av_offset(capture, motion, tracking)
    moved = load_sound_record(capture.folder).moved_ms
    return {
        "av_offset_corrected_ms": float(capture.source.get("av_offset_ms", 0.0)) + moved,
        "av_offset_moved_ms": moved,
        "has_sound": float(capture.audio is not None),
        "av_offset_ms": offset.milliseconds if offset else None,
        "av_offset_spread_ms": offset.spread_ms if offset else None,
        "av_offset_confidence": offset.confidence if offset else None,
        "av_offset_trusted": float(offset.trusted) if offset else None,
    }


def av_offset(capture: Capture, motion: FaceMotion, tracking: Tracking) -> AvOffset | None:
    """How far the captured sound lies from the lips, or None without sound."""
    if capture.audio is None:
        return None
    try:
        waveform = read_audio(capture.audio)
    except UserError:
        return None
    return estimate_av_offset(log_mel(waveform), motion.aperture, tracking.valid)


def _series(tracked: Tracked, pictures: Pictures) -> list[Series]:
    tracking = tracked.tracking
    # Where nothing was fitted the residual says nothing, and would flatten the rest of its chart.
    residual = np.where(tracking.valid, tracking.rms * np.float32(512 / tracking.size), np.nan)
    return [
        Series("Blur", "0 is crisp, 1 is smeared", pictures.blur),
        Series("Brightness of the face", "0 black, 255 white", pictures.luma),
        Series("Lip opening", "over the distance of the eyes", tracked.motion.aperture),
        Series("Landmark residual", "pixels at 512", residual),
    ]
