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
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.progress import Progress
from gaussavatar.segmentation.colours import ColourModel, learn_colours
from gaussavatar.segmentation.geometry import Outlines, outlines_of
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
from gaussavatar.segmentation.under import complete_under
from gaussavatar.storage import FrameStore, atomic_path, frame_writer, write_json
from gaussavatar.types import Landmarks, Tracking

if TYPE_CHECKING:
    from gaussavatar.capture.store import Capture

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

    Two passes over the clip, frames in parallel, memory independent of its length: person
    probabilities and resized frames first, then, with the background plate known, the
    masks. The record is written last, so an interrupted run leaves no loadable folder.

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
            _write_masks(frames, persons, scene, folder, progress)
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
    side = _colour_side(scene.outlines.size)
    classes = _person_classes(image, person, scene, side)
    region = cv2.resize(head_region(scene.outlines, index, scene.config), (side, side), interpolation=cv2.INTER_AREA)
    hair = falling_hair(classes, region, scene.outlines, index) * (region < 128)
    return float(hair.sum()) / (scene.outlines.face_height * side / scene.outlines.size) ** 2


def _colour_side(size: int) -> int:
    """Colour classes and completed parts are smooth: half size is enough for large frames."""
    return size // 2 if size >= 384 else size


def _person_classes(
    image: UInt8[np.ndarray, "h w 3"], person: UInt8[np.ndarray, "h w"], scene: Scene, side: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Colour classes at ``side``, zero off the person."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.bitwise_and(scene.colours.classify(small), cv2.merge([255 * (mask > 127).astype(np.uint8)] * 3))


def _write_masks(frames: FrameStore, persons: FrameStore, scene: Scene, folder: Path, progress: Progress) -> None:
    """Second pass: masks and the image behind the head."""
    size, workers = scene.outlines.size, scene.config.workers

    def one(index: int) -> tuple[np.ndarray, np.ndarray]:
        return segment_frame(frames.read(index), _steady_probability(persons, index), scene, index)

    with (
        frame_writer(folder / "masks.u8", (size, size, 4)) as mask_out,
        frame_writer(folder / "under.u8", (size, size, 3)) as under_out,
        progress.stage("masks", len(frames)) as advance,
        ThreadPoolExecutor(workers) as pool,
    ):
        for masks, under in ordered_map(pool, one, range(len(frames)), 4 * workers):
            mask_out.append(masks)
            under_out.append(under)
            advance(1)


def _steady_probability(persons: FrameStore, index: int) -> Float32[np.ndarray, "p p"]:
    """Median over a frame and its neighbours: takes single-frame drop-outs away."""
    last = len(persons) - 1
    before, own, after = (persons.read(i)[..., 0] for i in (max(index - 1, 0), index, min(index + 1, last)))
    median = np.maximum(np.minimum(before, own), np.minimum(np.maximum(before, own), after))
    return median.astype(np.float32) / 255.0


def segment_frame(
    image: UInt8[np.ndarray, "h w 3"], probability: Float32[np.ndarray, "p p"], scene: Scene, index: int
) -> tuple[UInt8[np.ndarray, "h w 4"], UInt8[np.ndarray, "h w 3"]]:
    """Masks (channels as in ``MASK_CHANNELS``) and the image behind the head of one frame."""
    outlines, plate, config = scene.outlines, scene.plate, scene.config
    size, side = outlines.size, _colour_side(outlines.size)
    centre = outlines.points[index].mean(0) / size
    probability = largest_person(probability, (float(centre[0]), float(centre[1])))
    background, trust = (plate.image, plate.trust) if plate.static else (None, None)
    person = refine_alpha(image, probability, background, trust, 0.022 * outlines.face_height)
    classes = _person_classes(image, person, scene, side)
    head = cv2.multiply(person, _head_share(classes, scene, index), scale=1 / 255)
    head = drop_whiskers(head, outlines, index)
    mouth = cv2.min(mouth_mask(outlines, index, config), head)
    face = face_mask(outlines, index, head, mouth)
    skin = np.ascontiguousarray(classes[..., 0])
    under = complete_under(image, head, person, skin, plate, scene.colours.neck, outlines, index, config)
    return cv2.merge([head, mouth, face, person]), under


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
