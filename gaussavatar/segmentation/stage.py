"""The segmentation stage: capture and landmarks in, masks and the image behind the head out."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from gaussavatar.capture.layout import SegmentationLayout
from gaussavatar.capture.store import Capture
from gaussavatar.errors import UserError
from gaussavatar.media.images import resize, write_image
from gaussavatar.media.packed import open_frames, packed_writer
from gaussavatar.parallel import ordered_map
from gaussavatar.progress import Progress
from gaussavatar.segmentation.geometry import Outlines, outlines_of
from gaussavatar.segmentation.masks import to_bytes
from gaussavatar.segmentation.parallel import single_threaded_filters, triples
from gaussavatar.segmentation.parser import FrameParser, fuse_person, parse_frame
from gaussavatar.segmentation.records import Segmentation, SegmentationConfig, load_segmentation
from gaussavatar.segmentation.scene import (
    BodyView,
    Draft,
    Scene,
    body_motion,
    body_view,
    draft_frame,
    finish_frame,
    part_side,
    small_side,
    study_scene,
)
from gaussavatar.segmentation.selfie import NETWORK_SIDE, SelfieSegmenter
from gaussavatar.segmentation.surface import HeadSurface, head_surface
from gaussavatar.segmentation.torso import merge_memories, remember
from gaussavatar.segmentation.under import Hidden, complete_under, first_body_row, paste, surroundings
from gaussavatar.storage import FrameStore, atomic_path, explain_os_error, write_json
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.types import Landmarks, Tracking

BLOCK, MARGIN = 100, 20
"""Frames whose hidden parts are completed together, and frames to either side that they remember."""


def segment_capture(
    capture: Capture,
    landmarks: Landmarks,
    tracking: Tracking,
    folder: Path,
    size: int,
    config: SegmentationConfig,
    progress: Progress,
    head_track: HeadTrack | None = None,
    parser: FrameParser | None = None,
) -> Segmentation:
    """Write frames, masks, parts and the image behind the head of every frame into ``folder``.

    Three passes over the clip, frames in parallel, memory independent of its length: person
    probabilities and resized frames; then, with background plate and colours known, the
    masks and parts; then what is behind the head, with the help of other moments. The record is
    written last, so an interrupted run leaves no loadable folder. The tracked head and a better parser
    (:func:`~gaussavatar.segmentation.parser.open_parser`) sharpen the parts; both may be missing.

    Raises:
        UserError: the folder cannot be written, or the capture's frames are damaged.
    """
    layout = SegmentationLayout(folder)
    scratch = layout.scratch
    try:
        folder.mkdir(parents=True, exist_ok=True)
        layout.record.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
    except OSError as error:
        raise explain_os_error(error, folder) from error
    outlines = outlines_of(landmarks, tracking, size)
    try:
        with single_threaded_filters():
            find_persons(capture.frames(), layout.frames, scratch / "person.u8", size, config, progress)
            frames, persons = open_frames(layout.frames), open_frames(scratch / "person.u8")
            surface = None if head_track is None else head_surface(head_track, tracking)
            return segment_persons(frames, persons, outlines, folder, config, progress, surface, parser)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def segment_persons(
    frames: FrameStore,
    persons: FrameStore,
    outlines: Outlines,
    folder: Path,
    config: SegmentationConfig,
    progress: Progress,
    surface: HeadSurface | None = None,
    parser: FrameParser | None = None,
) -> Segmentation:
    """Second and third pass of :func:`segment_capture`: ``persons`` holds the person probabilities, 0..255."""
    scene = study_scene(frames, persons, outlines, config)
    layout = SegmentationLayout(folder)
    shifts = _write_masks(frames, persons, scene, folder, progress, surface, parser)
    _write_under(frames, open_frames(layout.masks), shifts, scene, folder, progress)
    write_image(layout.plate, scene.plate.image.round().clip(0, 255).astype(np.uint8))
    write_json(
        layout.record,
        {
            "size": outlines.size,
            "n_frames": len(frames),
            "static_camera": scene.plate.static,
            "plate_residual": round(scene.plate.residual, 3),
            "long_hair": scene.long_hair,
            "camera_motion": round(scene.motion.per_frame, 3),
            "camera_travel": round(scene.motion.travel, 2),
        },
    )
    return load_segmentation(folder)


def find_persons(
    source: FrameStore, frames: Path, persons: Path, size: int, config: SegmentationConfig, progress: Progress
) -> None:
    """First pass: the frames at ``size`` and the network's person probability at its own size."""
    local = threading.local()
    with ExitStack() as stack:
        # Networks are opened here, one after the other: their start-up is not thread-safe.
        networks = [stack.enter_context(SelfieSegmenter()) for _ in range(config.workers)]
        lock = threading.Lock()

        def one(index: int) -> tuple[np.ndarray, np.ndarray]:
            if not hasattr(local, "network"):
                with lock:
                    local.network = networks.pop()
            image = source.read(index)
            small = resize(image, NETWORK_SIDE)
            probability = local.network.segment(small)
            return small if size == NETWORK_SIDE else resize(image, size), to_bytes(probability)

        side = NETWORK_SIDE
        linked = _link_frames(source, frames, size)
        frame_out = None if linked else stack.enter_context(packed_writer(frames, (size, size, 3)))
        person_out = stack.enter_context(packed_writer(persons, (side, side, 1), lasting=False))
        advance = stack.enter_context(progress.stage("person masks", len(source)))
        pool = stack.enter_context(ThreadPoolExecutor(config.workers))
        for frame, person in ordered_map(pool, one, range(len(source)), 4 * config.workers):
            if frame_out is not None:
                frame_out.append(frame)
            person_out.append(person[..., None])
            advance(1)


def _link_frames(source: FrameStore, frames: Path, size: int) -> bool:
    """Give the capture's frames a second name where they have the right size; False where that cannot be.

    Frame stores are replaced as a whole and never changed in place, so sharing one file is safe; it
    saves a copy of the clip on disk and the time to write it.
    """
    if source.shape[1:] != (size, size, 3) or not isinstance(source, FrameStore):
        return False
    try:
        for suffix in ("", ".json"):
            with atomic_path(frames.with_name(frames.name + suffix)) as temporary:
                temporary.unlink()
                os.link(source.path.with_name(source.path.name + suffix), temporary)
    except (OSError, UserError):
        return False
    return True


def _write_masks(
    frames: FrameStore,
    persons: FrameStore,
    scene: Scene,
    folder: Path,
    progress: Progress,
    surface: HeadSurface | None,
    parser: FrameParser | None,
) -> Float32[np.ndarray, "n 2"]:
    """Second pass: masks and parts. Returns the body's motion from frame to frame, in small pixels."""
    size, workers = scene.outlines.size, scene.config.workers
    shifts = np.zeros((len(frames), 2), np.float32)

    def draft(item: tuple[int, np.ndarray | None]) -> tuple[Draft, BodyView]:
        index, seen = item
        probability = _steady_probability(persons, index)
        image = frames.read(index)
        parsed = None
        if parser is not None:
            parsed = parse_frame(parser, image, part_side(size))
            probability = fuse_person(probability, parsed)
        drawn = draft_frame(image, probability, scene, index, seen, parsed)
        return drawn, body_view(image, probability, scene, index)

    def finish(
        near: tuple[tuple[Draft, BodyView], tuple[Draft, BodyView], tuple[Draft, BodyView]],
    ) -> tuple[np.ndarray, np.ndarray, tuple[float, float] | None]:
        before, own, after = near
        return *finish_frame(before[0], own[0], after[0]), body_motion(before[1], own[1])

    # The heads are posed and drawn here, in blocks: torch stays out of the workers.
    labels = repeat(None) if surface is None else surface.label_images(len(frames))
    with (
        packed_writer(SegmentationLayout(folder).masks, (size, size, 4)) as mask_out,
        packed_writer(SegmentationLayout(folder).parts, (size, size, 2)) as part_out,
        progress.stage("masks", len(frames)) as advance,
        ThreadPoolExecutor(workers) as pool,
    ):
        drafts = ordered_map(pool, draft, zip(range(len(frames)), labels, strict=False), 2 * workers)
        for index, (masks, parts, shift) in enumerate(ordered_map(pool, finish, triples(drafts), 2 * workers)):
            shifts[index] = (np.nan, np.nan) if shift is None else shift
            mask_out.append(masks)
            part_out.append(parts)
            advance(1)
    return shifts


def _steady_probability(persons: FrameStore, index: int) -> Float32[np.ndarray, "p p"]:
    """Median over a frame and its neighbours: takes single-frame drop-outs away."""
    last = len(persons) - 1
    before, own, after = (persons.read(i)[..., 0] for i in (max(index - 1, 0), index, min(index + 1, last)))
    median = np.maximum(np.minimum(before, own), np.minimum(np.maximum(before, own), after))
    return median.astype(np.float32) / 255.0


def _write_under(
    frames: FrameStore, masks: FrameStore, shifts: np.ndarray, scene: Scene, folder: Path, progress: Progress
) -> None:
    """Third pass: the image behind the head, in blocks that remember a second to either side."""
    size, workers, layout = scene.outlines.size, scene.config.workers, SegmentationLayout(folder)

    def block(start: int) -> list[Hidden]:
        return _under_block(frames, masks, shifts, scene, start, min(start + BLOCK, len(frames)))

    def put(item: tuple[int, Hidden]) -> np.ndarray:
        return paste(frames.read(item[0]), item[1], masks.read(item[0]))

    # What equals the frame takes no room where the frame lies beside it.
    known = layout.frames if frames.path == layout.frames else None
    with (
        packed_writer(layout.under, (size, size, 3), beside=known) as under_out,
        progress.stage("behind the head", len(frames)) as advance,
        ThreadPoolExecutor(workers) as pool,
    ):
        blocks = ordered_map(pool, block, range(0, len(frames), BLOCK), workers + 1)
        found = enumerate(hidden for several in blocks for hidden in several)
        for image in ordered_map(pool, put, found, 2 * workers):
            under_out.append(image)
            advance(1)


def _under_block(
    frames: FrameStore, masks: FrameStore, shifts: np.ndarray, scene: Scene, start: int, stop: int
) -> list[Hidden]:
    """What lies behind the head in frames ``start`` to ``stop``."""
    outlines, config = scene.outlines, scene.config
    # Dark cloth has the colours of short dark hair, and does not fall from the head.
    config = config if scene.long_hair else replace(config, hair_reach=0.0)
    side = small_side(outlines.size)
    unit = outlines.face_height * side / outlines.size
    first, last = max(0, start - MARGIN), min(len(frames), stop + MARGIN)
    arounds = [surroundings(frames.read(index), masks.read(index), side, unit, config) for index in range(first, last)]
    top = first_body_row(outlines, side, config)
    images, bodies = [a.image[top:] for a in arounds], [a.body[top:] for a in arounds]
    motion = shifts[first:last]
    past = list(islice(remember(images, bodies, motion), start - first, stop - first))
    # Backward in time the motion into frame i is minus that from i to i + 1.
    reverse = np.concatenate([np.zeros((1, 2), np.float32), -motion[:0:-1]])
    future = list(islice(remember(images[::-1], bodies[::-1], reverse), last - stop, last - start))[::-1]
    return [
        complete_under(
            arounds[index - first],
            merge_memories(past[index - start], future[index - start]),
            scene.small_plate,
            scene.colours,
            outlines,
            index,
            config,
        )
        for index in range(start, stop)
    ]
