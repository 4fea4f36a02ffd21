"""From a video to records on disk: the stages that come before any training, each skipped when nothing changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from gaussavatar.capture.marks import MARKS_NAME, find_marks, load_marks, save_marks, unmarked, without_marked
from gaussavatar.capture.store import Capture, load_capture
from gaussavatar.capture.video import capture_video, check_av_offset
from gaussavatar.errors import UserError
from gaussavatar.fitting.recipe import FitConfig
from gaussavatar.head.installed import get_head, head_key
from gaussavatar.landmarks.detect import detect_landmarks, load_landmarks, save_landmarks
from gaussavatar.progress import Progress
from gaussavatar.quality.stage import check_quality
from gaussavatar.segmentation.parser import open_parser
from gaussavatar.segmentation.stage import segment_capture
from gaussavatar.storage import content_key, file_key, mark_stage, stage_done, write_arrays
from gaussavatar.tracking.face.appearance import mouth_appearance
from gaussavatar.tracking.face.motion import APPEARANCE_NAME, extract_motion, load_motion, save_motion
from gaussavatar.tracking.head.fit import arkit_track, fit_head, shape_head
from gaussavatar.tracking.head.signals import face_signals, save_face_signals, score_faces
from gaussavatar.tracking.head.track import load_head_track, save_head_track
from gaussavatar.tracking.poses.fit import load_tracking, refit_to_poses, save_tracking, track_landmarks
from gaussavatar.tracking.poses.photometric import align_to_skin, with_known_focal
from gaussavatar.tracking.poses.transforms import write_transforms
from gaussavatar.types import Landmarks


@dataclass(frozen=True)
class Wishes:
    """What a user says about one video besides the recipe.

    ``focal`` is the source's focal length in its own pixels; ``av_offset_ms`` how much later than its picture the
    sound comes; ``head`` a head model's name (FLAME where it is installed, else the built-in one); ``parser`` a better
    segmentation model and ``blendshapes`` a ``face_landmarker.task``, both files of the user's.
    """

    focal: float | None = None
    av_offset_ms: float = 0.0
    head: str | None = None
    parser: Path | None = None
    blendshapes: Path | None = None


def check_wishes(wishes: Wishes) -> None:
    """Refuse what cannot work before anything is done.

    Raises:
        UserError: an offset out of reason, an unknown head, a missing or wrong file.
    """
    check_av_offset(wishes.av_offset_ms)
    if wishes.focal is not None and not 1 <= wishes.focal <= 1e6:
        raise UserError("a focal length in pixels", str(wishes.focal), "give that of the source video, or none")
    head_key(wishes.head)
    if wishes.parser is not None:
        open_parser(wishes.parser)
    if wishes.blendshapes is not None and not wishes.blendshapes.is_file():
        raise UserError(f"a face_landmarker.task at {wishes.blendshapes}", "no such file", "give its path, or none")


def run_stage(folder: Path, name: str, key: str, work: Callable[[], object], progress: Progress) -> None:
    """Do ``work`` unless ``folder`` holds the result of the same inputs."""
    if stage_done(folder, name, key):
        progress.say(f"{name}: kept from before")
        return
    started = time.monotonic()
    work()
    mark_stage(folder, name, key, time.monotonic() - started)


def prepare(video: Path, folder: Path, config: FitConfig, wishes: Wishes, need_audio: bool, progress: Progress) -> str:
    """Capture, landmarks, poses, head, masks and the quality page; returns the key of what training depends on.

    Raises:
        UserError: whatever is wrong with the video.
    """
    check_wishes(wishes)
    plain = msgspec.to_builtins
    source = file_key(video) if video.is_file() else str(video)
    key = content_key("capture 3", source, plain(config.capture), need_audio, wishes.av_offset_ms)

    def stage(name: str, work: Callable[[Capture], object]) -> None:
        run_stage(folder, name, key, lambda: work(load_capture(folder)), progress)

    run_stage(
        folder,
        "capture",
        key,
        lambda: capture_video(
            video,
            folder,
            config.capture,
            progress,
            need_audio=need_audio,
            av_offset_ms=wishes.av_offset_ms,
            later_bytes_per_frame=mask_bytes(config),
        ),
        progress,
    )
    key = content_key("landmarks 3", key)
    stage("landmarks", lambda capture: _detect(capture, progress))
    key = content_key(
        "tracking 7", key, *map(plain, (config.tracking, config.motion, config.photometric)), wishes.focal,
        head_key(wishes.head),
    )  # fmt: skip
    stage("tracking", lambda capture: _track(capture, config, wishes, progress))
    key = content_key("head 2", key, plain(config.head), _file_key(wishes.blendshapes))
    stage("head", lambda capture: _fit_head(capture, config, wishes, progress))
    key = content_key("masks 6", key, config.image_size, plain(config.segmentation), _file_key(wishes.parser))
    stage("masks", lambda capture: _segment(capture, config, wishes, progress))
    quality_key = content_key("quality 1", key)
    key = content_key("appearance 1", key, plain(config.appearance))
    stage("appearance", lambda capture: _look_into_mouth(capture, config, progress))
    prepared, key = key, quality_key
    stage("quality", lambda capture: check_quality(capture.folder, config.image_size, progress))
    return prepared


def mask_bytes(config: FitConfig) -> int:
    """Bytes per frame that the masks take on disk: mattes, parts, what is behind, and frames of another size."""
    channels = 4 + 2 + 3 + (0 if config.image_size == config.capture.size else 3)
    return channels * config.image_size**2


def _file_key(path: Path | None) -> str | None:
    return None if path is None else file_key(path)


def usable_landmarks(folder: Path) -> Landmarks:
    """The landmarks of a capture folder; frames with a hand before the face or another person count as without."""
    landmarks = load_landmarks(folder / "landmarks.safetensors")
    return without_marked(landmarks, load_marks(folder)) if (folder / MARKS_NAME).exists() else landmarks


def _detect(capture: Capture, progress: Progress) -> None:
    frames = capture.frames()
    images = (frames.read(index) for index in range(len(frames)))
    landmarks = detect_landmarks(images, capture.size, n_total=len(frames), progress=progress)
    save_marks(capture.folder, find_marks(frames, landmarks, progress))
    save_landmarks(capture.folder / "landmarks.safetensors", landmarks)


def _track(capture: Capture, config: FitConfig, wishes: Wishes, progress: Progress) -> None:
    """Poses and face shapes from landmarks, the face's motion, then poses from the skin itself."""
    folder = capture.folder
    marks, landmarks = load_marks(folder), usable_landmarks(folder)
    focal_px = capture.focal_px() if wishes.focal is None else wishes.focal * capture.size / capture.crop[2]
    with progress.stage("tracking", 3) as advance:
        tracking = unmarked(track_landmarks(landmarks, config.tracking, focal_px=focal_px), marks)
        advance(1)
        # The motion belongs to the landmarks' own poses: what a detector gets wrong as the head turns, it gets wrong
        # for lips and lids alike, and these poses take that out.
        (folder / APPEARANCE_NAME).unlink(missing_ok=True)
        save_motion(folder / "motion.safetensors", extract_motion(landmarks, tracking, config.motion))
        advance(1)
        head = shape_head(get_head(wishes.head), tracking)
        advance(1)
    scratch = folder / ".skin.u8"
    try:
        source_px = capture.size / capture.crop[2]
        settings = config.photometric if wishes.focal is None else with_known_focal(config.photometric)
        aligned = align_to_skin(capture.frames(), tracking, head, settings, scratch, progress, source_px)
    finally:
        for path in (scratch, scratch.with_name(scratch.name + ".json")):
            path.unlink(missing_ok=True)
    aligned = refit_to_poses(landmarks, aligned, config.tracking)
    save_tracking(folder / "tracking.safetensors", replace(aligned, valid=tracking.valid))
    write_transforms(folder / "transforms.json", aligned)


def _fit_head(capture: Capture, config: FitConfig, wishes: Wishes, progress: Progress) -> None:
    """The person's head in every frame, and the channels that a face has names for."""
    folder = capture.folder
    landmarks, tracking = usable_landmarks(folder), load_tracking(folder / "tracking.safetensors")
    with progress.stage("head", 2) as advance:
        track = fit_head(get_head(wishes.head), landmarks, tracking, config.head)
        advance(1)
        scores = None
        if wishes.blendshapes is not None:
            frames = capture.frames()
            scores, _ = score_faces((frames.read(index) for index in range(len(frames))), wishes.blendshapes)
        named = track if scores is not None else arkit_track(track, landmarks, tracking)
        save_face_signals(folder / "face_signals.safetensors", face_signals(named, landmarks, tracking, scores))
        save_head_track(folder, track)
        advance(1)


def _look_into_mouth(capture: Capture, config: FitConfig, progress: Progress) -> None:
    """Codes of what the mouth shows besides its outline, beside the motion."""
    folder = capture.folder
    (folder / APPEARANCE_NAME).unlink(missing_ok=True)
    if config.appearance.n_codes == 0:
        return
    landmarks, tracking = usable_landmarks(folder), load_tracking(folder / "tracking.safetensors")
    motion, store = load_motion(folder / "motion.safetensors"), capture.frames()
    with progress.stage("inside of the mouth", len(store)) as advance:
        frames = (_told(store.read(index), advance) for index in range(len(store)))
        codes = mouth_appearance(frames, landmarks, tracking, motion, config.appearance)
        write_arrays(folder / APPEARANCE_NAME, {"codes": codes})


def _told(frame: np.ndarray, advance: Callable[[int], None]) -> np.ndarray:
    advance(1)
    return frame


def _segment(capture: Capture, config: FitConfig, wishes: Wishes, progress: Progress) -> None:
    folder = capture.folder
    segment_capture(
        capture,
        load_landmarks(folder / "landmarks.safetensors"),
        load_tracking(folder / "tracking.safetensors"),
        folder / f"segmentation_{config.image_size}",
        config.image_size,
        config.segmentation,
        progress,
        head_track=load_head_track(folder),
        parser=None if wishes.parser is None else open_parser(wishes.parser),
    )
