"""One pass over a clip's pictures: sharpness, light and repetition of every frame, and how the camera moves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gaussavatar.image.luma import LUMA
from gaussavatar.landmarks.indices import FACE_OVAL, LIPS_OUTER, OUTER_EYE_CORNERS
from gaussavatar.parallel import ordered_map
from gaussavatar.progress import Advance
from gaussavatar.storage import FrameStore
from gaussavatar.types import Landmarks

BLOWN = 250
"""A pixel whose green is at least this has lost its skin tone; red alone saturates on healthy warm skin."""

CRUSHED = 10
"""A pixel whose brightest channel is at most this has lost its detail."""

_BLUR_TAPS = 9
CORNER_EVERY = 12
_CORNER_SHARE = 0.22
_CORNER_RESPONSE = 0.4
_CORNER_LEAST_CONTRAST = 4.0
_BLOCK = 32
_WORKERS = 2


@dataclass(frozen=True)
class Pictures:
    """Measurements of every frame; those of the face are NaN where no face was found.

    ``blur`` is 0 (crisp) to 1 (smeared), see :func:`blur_effect`. ``luma`` is the mean grey value of the face's
    skin, ``blown`` and ``crushed`` the shares of it that lost their detail. ``change`` is the mean absolute grey
    difference of the face's pixels from the frame before (0..255), ``picture_change`` that of the whole picture; both
    are 0 only where a picture was repeated. ``camera_px`` holds, every ``CORNER_EVERY`` frames, how far the
    background's corners moved against the clip's first ones, in pixels; NaN where they show nothing to follow.
    """

    blur: Float32[np.ndarray, "n"]
    luma: Float32[np.ndarray, "n"]
    blown: Float32[np.ndarray, "n"]
    crushed: Float32[np.ndarray, "n"]
    change: Float32[np.ndarray, "n"]
    picture_change: Float32[np.ndarray, "n"]
    camera_px: Float32[np.ndarray, "c 2"]


def measure_pictures(
    frames: FrameStore, landmarks: Landmarks, has_face: Bool[np.ndarray, "n"], advance: Advance
) -> Pictures:
    """Look at every frame once; two blocks of frames are in memory at a time.

    Args:
        frames: The captured frames.
        landmarks: Their landmarks.
        has_face: Frames whose landmarks can be believed.
        advance: Called with the number of frames just measured.
    """
    points = landmarks.points[..., :2] * np.float32(frames.shape[1] / landmarks.size)
    found: list[np.ndarray] = []
    corners: list[list[UInt8[np.ndarray, "s s"]]] = []

    def block(start: int) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        return _measure_block(frames, points, has_face, start)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for rows, cut in ordered_map(pool, block, range(0, len(frames), _BLOCK), _WORKERS):
            found.append(rows)
            corners += cut
            advance(len(rows))
    table = np.concatenate(found) if found else np.zeros((0, 6), np.float32)
    return Pictures(*table.T, camera_px=follow_corners(corners))


def _measure_block(
    frames: FrameStore, points: np.ndarray, has_face: np.ndarray, start: int
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    last = min(start + _BLOCK, len(frames))
    rows = np.full((last - start, 6), np.nan, np.float32)
    corners = []
    before = grey_of(frames.read(start - 1)) if start else None
    for index in range(start, last):
        image = frames.read(index)
        grey = grey_of(image)
        if has_face[index]:
            box = face_box(points[index], grey.shape[0])
            rows[index - start, :4] = [blur_effect(_features(grey, points[index])), *skin_light(image, points[index])]
            rows[index - start, 4] = _difference(grey[box], before[box]) if before is not None else np.nan
        if before is not None:
            rows[index - start, 5] = _difference(grey[::4, ::4], before[::4, ::4])
        if index % CORNER_EVERY == 0:
            corners.append(background_corners(grey))
        before = grey
    return rows, corners


def grey_of(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Grey values of an RGB image."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(cv2.norm(np.ascontiguousarray(a), np.ascontiguousarray(b), cv2.NORM_L1) / max(a.size, 1))


def face_box(points: Float32[np.ndarray, "478 2"], size: int) -> tuple[slice, slice]:
    """Rows and columns of the face from hairline to chin, at least two pixels inside the picture."""
    low = np.clip(points[list(FACE_OVAL)].min(0), 0, size - 2).astype(int)
    high = np.maximum(np.ceil(points[list(FACE_OVAL)].max(0)).astype(int), low + 2)
    return slice(low[1], min(size, high[1])), slice(low[0], min(size, high[0]))


def _features(grey: UInt8[np.ndarray, "h w"], points: Float32[np.ndarray, "478 2"]) -> UInt8[np.ndarray, "a b"]:
    """The part of the face that has edges: brows, eyes, nose and lips."""
    size = grey.shape[0]
    across = points[list(OUTER_EYE_CORNERS)]
    brow = points[[105, 334]].min(0)[1]
    mouth = points[list(LIPS_OUTER), 1].max()
    low = np.clip([across[:, 0].min(), brow], 0, size - 16).astype(int)
    high = np.clip(np.array([across[:, 0].max(), mouth]), low + 16, size).astype(int)
    return grey[low[1] : high[1], low[0] : high[0]]


def blur_effect(grey: UInt8[np.ndarray, "h w"]) -> float:
    """How little an image loses by being blurred: 0 crisp to 1 smeared, almost regardless of what it shows.

    Crete, Dolmiere, Ladet and Nicolas 2007, "The blur effect", eq. 1-7: the neighbours' variation that a nine-pixel
    mean takes away, over all variation; the blurrier of the two directions counts. A light smoothing first
    keeps sensor noise from passing for sharpness.
    """
    image = cv2.GaussianBlur(grey, (3, 3), 0).astype(np.float32)
    shares = []
    for axis in (0, 1):
        kernel = (1, _BLUR_TAPS) if axis == 0 else (_BLUR_TAPS, 1)
        blurred = cv2.blur(image, kernel)
        first = [slice(1, None) if a == axis else slice(None) for a in (0, 1)]
        second = [slice(None, -1) if a == axis else slice(None) for a in (0, 1)]
        variation = cv2.absdiff(image[tuple(first)], image[tuple(second)])
        left = cv2.absdiff(blurred[tuple(first)], blurred[tuple(second)])
        lost = cv2.subtract(variation, left)
        total = float(variation.sum())
        shares.append(1.0 - float(np.maximum(lost, 0).sum()) / total if total > 0 else 1.0)
    return max(shares)


def skin_light(image: UInt8[np.ndarray, "h w 3"], points: Float32[np.ndarray, "478 2"]) -> tuple[float, float, float]:
    """Mean grey value, blown and crushed share of the face inside its oval, from every second pixel each way."""
    rows, columns = face_box(points, image.shape[0])
    part = np.ascontiguousarray(image[rows, columns][::2, ::2])
    mask = np.zeros(part.shape[:2], np.uint8)
    outline = (points[list(FACE_OVAL)] - [columns.start, rows.start]) / 2
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], (1,))
    count = cv2.countNonZero(mask)
    if not count:
        return np.nan, np.nan, np.nan
    red, green, blue, _ = cv2.mean(part, mask)
    channels, inside = [np.asarray(channel) for channel in cv2.split(part)], mask > 0
    brightest = np.maximum(np.maximum(channels[0], channels[1]), channels[2])
    blown = np.count_nonzero(inside & (channels[1] >= BLOWN))
    crushed = np.count_nonzero(inside & (brightest <= CRUSHED))
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue, blown / count, crushed / count


def background_corners(grey: UInt8[np.ndarray, "h w"]) -> list[UInt8[np.ndarray, "s s"]]:
    """The two upper corners, where a talking head's background shows, at half size."""
    side = int(_CORNER_SHARE * grey.shape[0])
    return [
        cv2.resize(part, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
        for part in (grey[:side, :side], grey[:side, -side:])
    ]


def follow_corners(corners: list[list[UInt8[np.ndarray, "s s"]]]) -> Float32[np.ndarray, "c 2"]:
    """Motion of the corners against their first picture in pixels (x, y), by phase correlation.

    A corner counts where it has contrast and correlates well; where two count, the one that moved less is believed,
    because hair or a shoulder may come into a corner, and the camera moves both. (Kuglin and Hines 1975.)
    """
    moved = np.full((len(corners), 2), np.nan, np.float32)
    if not corners or corners[0][0].size < 64:
        return moved
    window = cv2.createHanningWindow(corners[0][0].shape[::-1], cv2.CV_32F)
    references = [part.astype(np.float32) for part in corners[0]]
    for index, parts in enumerate(corners):
        shifts = []
        for reference, part in zip(references, parts, strict=True):
            if min(float(reference.std()), float(part.std())) < _CORNER_LEAST_CONTRAST:
                continue
            shift, response = cv2.phaseCorrelate(reference, part.astype(np.float32), window)
            if response > _CORNER_RESPONSE:
                shifts.append(2.0 * np.array(shift))
        if shifts:
            moved[index] = min(shifts, key=lambda shift: float(np.abs(shift).max()))
    return moved


def repeated_frames(pictures: Pictures) -> Bool[np.ndarray, "n"]:
    """Frames that show exactly the picture before, and those whose face stands still to the last grey value."""
    frozen = np.nan_to_num(pictures.picture_change, nan=1.0) < 0.02
    return frozen & ~(np.nan_to_num(pictures.change, nan=0.0) > 0.05)
