"""Small grey pictures of the face in every frame, with light taken out: what the photometric alignment compares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from gaussavatar.parallel import ordered_map
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.tracking.poses.skull_skin import SkullSkin
from gaussavatar.tracking.poses.solve import project
from gaussavatar.types import Tracking

LEVELS = ((0.7, 5.0), (0.6, 2.0))
"""Coarse and fine: the standard deviations, in pixels of a 512 px picture, between which detail is kept."""

GREY_FLOOR, CONTRAST = 20.0, 40.0
"""Grey levels of local contrast that count as none, and what unit contrast is stored as."""

_MARGIN = 12
_REFERENCE_SIZE = 512
_BLOCK = 32


@dataclass(frozen=True)
class SkinImages:
    """The pictures on disk, mapped into memory, and the corner (x, y) of each in its frame."""

    pictures: UInt8[np.ndarray, "n l s s"]
    corners: Int[np.ndarray, "n 2"]

    def read(self, frames: slice, level: int) -> UInt8[np.ndarray, "f s s"]:
        """Pictures of some frames at one level."""
        return np.ascontiguousarray(self.pictures[frames, level])


def face_windows(tracking: Tracking, skin: SkullSkin) -> tuple[int, Int[np.ndarray, "n 2"]]:
    """Side of a square that holds the skin in nearly every frame, and its corner in each."""
    n, size = len(tracking.valid), tracking.size
    low, high = np.empty((n, 2)), np.empty((n, 2))
    points = skin.points[:: max(1, len(skin.points) // 200)]
    for first in range(0, n, 512):
        part = slice(first, first + 512)
        pixels, _ = project(
            points[None], tracking.R_camera_head[part], tracking.t_camera_head[part], float(tracking.K[0, 0])
        )
        pixels = pixels + tracking.K[:2, 2]
        low[part], high[part] = pixels.min(1), pixels.max(1)
    extent = (high - low).max(1)
    wanted = np.percentile(extent[tracking.valid], 99) if tracking.valid.any() else extent.max()
    side = int(np.clip(np.ceil(wanted) + 2 * _MARGIN, 16, size))
    corners = np.clip(np.rint((low + high - side) / 2), 0, size - side).astype(np.int64)
    return side, corners


def write_skin_images(
    frames: FrameStore, tracking: Tracking, skin: SkullSkin, path: Path, workers: int, source_px: float = 1.0
) -> SkinImages:
    """Write the pictures of all frames to ``path``, a few frames at a time.

    ``source_px`` is how many captured pixels a pixel of the source became: enlarged frames have no finer detail.
    """
    side, corners = face_windows(tracking, skin)
    px = max(tracking.size / _REFERENCE_SIZE, source_px)

    def block(first: int) -> list[np.ndarray]:
        stop = min(first + _BLOCK, len(frames))
        return [without_light(crop(frames.read(i), corners[i], side, px), px) for i in range(first, stop)]

    with frame_writer(path, (len(LEVELS) * side, side, 1), lasting=False) as out, ThreadPoolExecutor(workers) as pool:
        for images in ordered_map(pool, block, range(0, len(frames), _BLOCK), 2 * workers):
            for image in images:
                inside = slice(_border(px), _border(px) + side)
                out.append(np.ascontiguousarray(image[:, inside, inside]).reshape(-1, side, 1))
    pictures = np.memmap(path, np.uint8, "r", shape=(len(frames), len(LEVELS), side, side))
    return SkinImages(pictures, corners)


def _border(px: float) -> int:
    """Pixels beside the window that its filters look at."""
    return int(np.ceil(10 * px))


def crop(
    image: UInt8[np.ndarray, "h w 3"], corner: Int[np.ndarray, "2"], side: int, px: float
) -> UInt8[np.ndarray, "b b"]:
    """The grey window with a border for the filters; the picture's edge is repeated beyond it."""
    border = _border(px)
    x, y = (int(value) - border for value in corner)
    extent = side + 2 * border
    height, width = image.shape[:2]
    left, top = max(0, -x), max(0, -y)
    right, bottom = max(0, x + extent - width), max(0, y + extent - height)
    part = image[y + top : y + extent - bottom, x + left : x + extent - right]
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    return cv2.copyMakeBorder(grey, top, bottom, left, right, cv2.BORDER_REPLICATE)


def without_light(grey: UInt8[np.ndarray, "b b"], px: float) -> UInt8[np.ndarray, "2 b b"]:
    """Detail of the picture at each of :data:`LEVELS`, divided by the contrast around it; 128 is none.

    Shading is smooth and changes when the head turns against the light; pores, wrinkles and edges stay on the skin.
    """
    values = grey.astype(np.float32)
    channels = []
    for fine, coarse in LEVELS:
        detail = cv2.GaussianBlur(values, (0, 0), fine * px) - _smooth(values, coarse * px)
        # Running sums can fall a little below zero.
        around = np.sqrt(np.maximum(_smooth(detail * detail, 2 * coarse * px), 0))
        channels.append(np.clip(np.rint(128 + CONTRAST * detail / (GREY_FLOOR + around)), 0, 255).astype(np.uint8))
    return np.stack(channels)


def _smooth(values: Float32[np.ndarray, "b b"], sigma: float) -> Float32[np.ndarray, "b b"]:
    """A blur of that standard deviation from two means over squares, whose cost does not grow with it."""
    width = 2 * round((np.sqrt(6 * sigma**2 + 1) - 1) / 2) + 1
    return cv2.blur(cv2.blur(values, (width, width)), (width, width))  # type: ignore[return-value]


def cameras_of_windows(tracking: Tracking, corners: Int[np.ndarray, "f 2"]) -> Float[np.ndarray, "f 3"]:
    """Focal length and principal point in every window's own pixels."""
    middle = tracking.K[:2, 2] - corners
    return np.concatenate([np.full((len(corners), 1), tracking.K[0, 0]), middle], 1)
