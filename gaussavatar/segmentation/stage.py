"""The segmentation stage: capture and landmarks in, masks and the image behind the head out."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.progress import Progress
from gaussavatar.segmentation.colours import ColourModel, learn_colours
from gaussavatar.segmentation.geometry import Outlines, draw_polygon, head_outline, outlines_of
from gaussavatar.segmentation.masks import (
    LONG_HAIR_AREA,
    clothing_beside_jaw,
    drop_whiskers,
    face_mask,
    falling_hair,
    head_region,
    mouth_mask,
    to_bytes,
)
from gaussavatar.segmentation.matting import largest_person, refine_alpha
from gaussavatar.segmentation.plate import Plate, estimate_plate
from gaussavatar.segmentation.records import RECORD_NAME, Segmentation, SegmentationConfig, load_segmentation
from gaussavatar.segmentation.selfie import NETWORK_SIDE, SelfieSegmenter
from gaussavatar.segmentation.torso import body_shift, merge_memories, remember
from gaussavatar.segmentation.under import complete_under, surroundings
from gaussavatar.storage import FrameStore, atomic_path, frame_writer, write_json
from gaussavatar.types import Landmarks, Tracking

if TYPE_CHECKING:
    from gaussavatar.capture.store import Capture

BLOCK, MARGIN = 60, 20
"""Frames whose hidden parts are completed together, and frames to either side that they remember."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def segment_capture(
    capture: Capture,
    landmarks: Landmarks,
    tracking: Tracking,
    folder: Path,
    size: int,
    config: SegmentationConfig,
    progress: Progress,
) -> Segmentation:
    """Write frames, masks and the image behind the head of every frame into ``folder``.

    Three passes over the clip, frames in parallel, memory independent of its length: person
    probabilities and resized frames; then, with background plate and colours known, the
    masks; then what is behind the head, with the help of other moments. The record is written last, so an interrupted run leaves no loadable folder.

    Raises:
        UserError: the folder cannot be written, or the capture's frames are damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD_NAME).unlink(missing_ok=True)
    outlines = outlines_of(landmarks, tracking, size)
    scratch = Path(tempfile.mkdtemp(prefix=".person-", dir=folder))
    try:
        with _single_threaded_filters():
            _find_persons(capture.frames(), folder / "frames.u8", scratch / "person.u8", size, config, progress)
            frames, persons = FrameStore(folder / "frames.u8"), FrameStore(scratch / "person.u8")
            scene = _study_scene(frames, persons, outlines, config)
            shifts = _write_masks(frames, persons, scene, folder, progress)
            _write_under(frames, FrameStore(folder / "masks.u8"), shifts, scene, folder, progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    with atomic_path(folder / "plate.png") as temporary:
        cv2.imwrite(str(temporary), scene.plate.image.round().clip(0, 255).astype(np.uint8)[:, :, ::-1])
    write_json(
        folder / RECORD_NAME,
        {
            "size": size,
            "n_frames": len(frames),
            "static_camera": scene.plate.static,
            "plate_residual": round(scene.plate.residual, 3),
            "long_hair": scene.long_hair,
        },
    )
    return load_segmentation(folder)


@contextmanager
def _single_threaded_filters() -> Iterator[None]:
    """Stop OpenCV's own threads: the frames are already spread over the cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Like ``pool.map``, with at most ``ahead`` results waiting, so that memory stays bounded."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _find_persons(
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
            network_image = _resize(image, NETWORK_SIDE)
            probability = local.network.segment(network_image)
            return _resize(image, size), to_bytes(probability)

        side = NETWORK_SIDE
        frame_out = stack.enter_context(frame_writer(frames, (size, size, 3)))
        person_out = stack.enter_context(frame_writer(persons, (side, side, 1)))
        advance = stack.enter_context(progress.stage("person masks", len(source)))
        pool = stack.enter_context(ThreadPoolExecutor(config.workers))
        for frame, person in ordered_map(pool, one, range(len(source)), 4 * config.workers):
            frame_out.append(frame)
            person_out.append(person[..., None])
            advance(1)


def _resize(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Area mean when shrinking, cubic when growing, the image itself otherwise."""
    if image.shape[0] == size:
        return image
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


@dataclass(frozen=True)
class Scene:
    """What is known of the whole clip before its masks are made."""

    outlines: Outlines
    plate: Plate
    colours: ColourModel
    long_hair: bool
    config: SegmentationConfig


def _study_scene(frames: FrameStore, persons: FrameStore, outlines: Outlines, config: SegmentationConfig) -> Scene:
    """Background plate, colours and hair length from frames spread evenly over the clip."""
    count = min(config.plate_samples, len(frames))
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    size = frames.shape[1]
    images = frames.read_batch(chosen.tolist())
    masks = np.stack([cv2.resize(persons.read(int(i))[..., 0], (size, size)) for i in chosen])
    plate = estimate_plate(images, masks, 0.06 * outlines.face_height)
    few = slice(None, None, max(1, len(chosen) // 16))
    colours = learn_colours(images[few], masks[few], outlines, chosen[few])
    scene = Scene(outlines, plate, colours, True, config)
    areas = [
        _fallen_area(image, mask, scene, int(index))
        for image, mask, index in zip(images[few], masks[few], chosen[few], strict=True)
    ]
    return dataclasses.replace(scene, long_hair=float(np.median(areas)) > LONG_HAIR_AREA)


def _fallen_area(
    image: UInt8[np.ndarray, "h w 3"], person: UInt8[np.ndarray, "h w"], scene: Scene, index: int
) -> float:
    """Area in squared face heights of hair below the head region in one frame."""
    side = _small_side(scene.outlines.size)
    classes = _person_classes(image, person, scene, side)
    region = cv2.resize(head_region(scene.outlines, index, scene.config), (side, side), interpolation=cv2.INTER_AREA)
    hair = falling_hair(classes, region, scene.outlines, index) * (region < 128)
    return float(hair.sum()) / (scene.outlines.face_height * side / scene.outlines.size) ** 2


def _small_side(size: int) -> int:
    """Colour classes and completed parts are smooth: half size is enough for large frames."""
    return size // 2 if size >= 384 else size


def _person_classes(
    image: UInt8[np.ndarray, "h w 3"], person: UInt8[np.ndarray, "h w"], scene: Scene, side: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Colour classes at ``side``, zero off the person."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.bitwise_and(scene.colours.classify(small), cv2.merge([255 * (mask > 127).astype(np.uint8)] * 3))


def _write_masks(
    frames: FrameStore, persons: FrameStore, scene: Scene, folder: Path, progress: Progress
) -> Float32[np.ndarray, "n 2"]:
    """Second pass: masks. Returns the body's motion from frame to frame, in small pixels."""
    size, workers = scene.outlines.size, scene.config.workers
    shifts = np.zeros((len(frames), 2), np.float32)

    def one(index: int) -> tuple[np.ndarray, tuple[float, float] | None]:
        probability = _steady_probability(persons, index)
        image = frames.read(index)
        before = frames.read(max(index - 1, 0))
        return segment_frame(image, probability, scene, index), _motion(before, image, probability, scene, index)

    with (
        frame_writer(folder / "masks.u8", (size, size, 4)) as mask_out,
        progress.stage("masks", len(frames)) as advance,
        ThreadPoolExecutor(workers) as pool,
    ):
        for index, (masks, shift) in enumerate(ordered_map(pool, one, range(len(frames)), 4 * workers)):
            mask_out.append(masks)
            shifts[index] = (np.nan, np.nan) if shift is None else shift
            advance(1)
    return shifts


def _motion(
    before: UInt8[np.ndarray, "h w 3"],
    image: UInt8[np.ndarray, "h w 3"],
    probability: Float32[np.ndarray, "p p"],
    scene: Scene,
    index: int,
) -> tuple[float, float] | None:
    """The body's motion since the previous frame, from what is visible of it below the head."""
    side = _small_side(scene.outlines.size)
    outline = head_outline(scene.outlines, index, 0.05) * (side / scene.outlines.size)
    body = cv2.resize((probability > 0.8).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    body[draw_polygon(outline, side) > 0] = 0
    grey = [
        cv2.cvtColor(cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for frame in (before, image)
    ]
    return body_shift(grey[0], grey[1], body)


def _write_under(
    frames: FrameStore, masks: FrameStore, shifts: np.ndarray, scene: Scene, folder: Path, progress: Progress
) -> None:
    """Third pass: the image behind the head, in blocks that remember a second to either side."""
    size, workers = scene.outlines.size, scene.config.workers

    def block(start: int) -> list[np.ndarray]:
        return _under_block(frames, masks, shifts, scene, start, min(start + BLOCK, len(frames)))

    with (
        frame_writer(folder / "under.u8", (size, size, 3)) as under_out,
        progress.stage("behind the head", len(frames)) as advance,
        ThreadPoolExecutor(workers) as pool,
    ):
        for images in ordered_map(pool, block, range(0, len(frames), BLOCK), workers + 1):
            for image in images:
                under_out.append(image)
            advance(len(images))


def _under_block(
    frames: FrameStore, masks: FrameStore, shifts: np.ndarray, scene: Scene, start: int, stop: int
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The images behind the head of frames ``start`` to ``stop``."""
    outlines, config = scene.outlines, scene.config
    side = _small_side(outlines.size)
    unit = outlines.face_height * side / outlines.size
    first, last = max(0, start - MARGIN), min(len(frames), stop + MARGIN)
    arounds = []
    for index in range(first, last):
        mask = masks.read(index)
        head, person = (np.ascontiguousarray(mask[..., channel]) for channel in (0, 3))
        arounds.append(surroundings(frames.read(index), head, person, side, unit, config.exclusion))
    images, bodies = [a.image for a in arounds], [a.body for a in arounds]
    motion = shifts[first:last]
    past = list(islice(remember(images, bodies, motion), start - first, stop - first))
    # Backward in time the motion into frame i is minus that from i to i + 1.
    reverse = np.concatenate([np.zeros((1, 2), np.float32), -motion[:0:-1]])
    future = list(islice(remember(images[::-1], bodies[::-1], reverse), last - stop, last - start))[::-1]
    return [
        complete_under(
            frames.read(index),
            arounds[index - first],
            merge_memories(past[index - start], future[index - start]),
            scene.plate,
            scene.colours,
            outlines,
            index,
            config,
        )
        for index in range(start, stop)
    ]


def _steady_probability(persons: FrameStore, index: int) -> Float32[np.ndarray, "p p"]:
    """Median over a frame and its neighbours: takes single-frame drop-outs away."""
    last = len(persons) - 1
    before, own, after = (persons.read(i)[..., 0] for i in (max(index - 1, 0), index, min(index + 1, last)))
    median = np.maximum(np.minimum(before, own), np.minimum(np.maximum(before, own), after))
    return median.astype(np.float32) / 255.0


def segment_frame(
    image: UInt8[np.ndarray, "h w 3"], probability: Float32[np.ndarray, "p p"], scene: Scene, index: int
) -> UInt8[np.ndarray, "h w 4"]:
    """Masks of one frame, channels as in ``MASK_CHANNELS``."""
    outlines, plate, config = scene.outlines, scene.plate, scene.config
    size, side = outlines.size, _small_side(outlines.size)
    centre = outlines.points[index].mean(0) / size
    probability = largest_person(probability, (float(centre[0]), float(centre[1])))
    background, trust = (plate.image, plate.trust) if plate.static else (None, None)
    person = refine_alpha(image, probability, background, trust, 0.022 * outlines.face_height)
    classes = _person_classes(image, person, scene, side)
    head = cv2.multiply(person, _head_share(classes, scene, index), scale=1 / 255)
    head = drop_whiskers(head, outlines, index)
    mouth = cv2.min(mouth_mask(outlines, index, config), head)
    face = face_mask(outlines, index, head, mouth)
    return cv2.merge([head, mouth, face, person])


def _head_share(classes: UInt8[np.ndarray, "s s 3"], scene: Scene, index: int) -> UInt8[np.ndarray, "h w"]:
    """How much of the person, 0..255, is head: region above the jaw, less clothing, plus falling hair."""
    outlines, side = scene.outlines, classes.shape[0]
    region = head_region(outlines, index, scene.config)
    bare = _enlarge(to_bytes(1.0 - clothing_beside_jaw(classes, outlines, index)), outlines.size)
    share = cv2.multiply(region, bare, scale=1 / 255)
    if scene.long_hair:
        small = cv2.resize(region, (side, side), interpolation=cv2.INTER_AREA)
        share = cv2.max(share, _enlarge(to_bytes(falling_hair(classes, small, outlines, index)), outlines.size))
    return share


def _enlarge(values: UInt8[np.ndarray, "s s"], size: int) -> UInt8[np.ndarray, "h w"]:
    return cv2.resize(values, (size, size), interpolation=cv2.INTER_LINEAR)
