"""A first look at a video: some frames from all over it, with the faces in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from gaussavatar.capture.exposure import UsualLight, evened, gain_of, small, usual_light
from gaussavatar.capture.suitability import Sample, colour_histogram
from gaussavatar.errors import UserError
from gaussavatar.landmarks.face_mesh import FaceBox, FaceDetector, FaceMesh
from gaussavatar.media.frames import read_frames
from gaussavatar.media.images import resize
from gaussavatar.media.probe import MediaInfo
from gaussavatar.progress import Progress

_PRESCAN_SIDE = 960
_SECONDS_PER_SAMPLE = 3.0
_MIN_SAMPLES, _MAX_SAMPLES = 12, 48
_MESH_SIDE = 320
_PICTURE_SIDE = 256
"""Longest side of the frames that are kept to tell the camera's exposure."""
_FINER = 4


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
            # There may be more key frames than were asked for.
            advance(int(len(samples) <= target))

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
    zoom = min(1.0, _PICTURE_SIDE / max(image.shape[:2]))
    picture = resize(image, (max(1, round(image.shape[1] * zoom)), max(1, round(image.shape[0] * zoom))))
    if points is None:
        return Sample(seconds, heights, turn=turn, picture=picture)
    x0, y0 = np.clip(points[:, :2].min(0), 0, None).astype(int)
    x1, y1 = np.ceil(points[:, :2].max(0)).astype(int)
    face = image[y0:y1, x0:x1]
    if face.size == 0:
        return Sample(seconds, heights, turn=turn, picture=picture)
    colours = colour_histogram(face), colour_histogram(image)
    return Sample(seconds, heights, points / np.float32(scale), *colours, turn, picture, small(face))


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


def in_one_light(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with their colours as in one exposure, as far as it changes and that can be told.

    Under a camera that sets its exposure by itself one person would look like two.
    """
    pictures = [small(sample.picture) for sample in samples if sample.picture is not None]
    usual = usual_light(pictures)
    return list(samples) if usual is None else [_evened(sample, usual) for sample in samples]


def _evened(sample: Sample, usual: UsualLight) -> Sample:
    if sample.picture is None or sample.face is None:
        return sample
    gain = gain_of(small(sample.picture), usual)
    if gain is None:
        return sample
    face, picture = (colour_histogram(evened(image, gain)) for image in (sample.face, sample.picture))
    return replace(sample, face_colours=face, picture_colours=picture)


def crops_of(samples: Sequence[Sample], info: MediaInfo, crop: tuple[int, int, int]) -> list[np.ndarray]:
    """The crop ``(x, y, side)`` of every looked-at frame, at the size in which pictures are compared."""
    crops = []
    for picture in (sample.picture for sample in samples if sample.picture is not None):
        scale = np.array([picture.shape[1] / info.width, picture.shape[0] / info.height])
        x0, y0 = np.round(np.array(crop[:2]) * scale).astype(int)
        x1, y1 = np.round((np.array(crop[:2]) + crop[2]) * scale).astype(int)
        crops.append(small(picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]))
    return crops
