"""A small video of what was understood: the masks tinted over the picture, and beside it the tracked head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from gaussavatar.landmarks.indices import (
    FACE_OVAL,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from gaussavatar.media.writing import write_video
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.parallel import ordered_map
from gaussavatar.progress import Progress
from gaussavatar.segmentation.parts import PART_NAMES
from gaussavatar.segmentation.records import MASK_CHANNELS, Segmentation
from gaussavatar.storage import FrameStore
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices
from gaussavatar.types import VIDEO_FPS, Landmarks, Tracking

SIDE = 384
EVERY = 2
"""Every second frame is shown, at half the rate."""

STRETCHES, STRETCH_FRAMES = 6, 100
"""Clips longer than all of these together are shown in so many pieces of four seconds, spread evenly."""

TINTS: dict[str, tuple[int, int, int]] = {
    "face": (60, 190, 120),
    "hair": (150, 90, 200),
    "ears": (240, 120, 170),
    "lips": (230, 60, 110),
    "inner_mouth": (250, 220, 60),
    "neck": (240, 150, 60),
    "torso": (70, 110, 220),
}
"""Colours of the parts; the background keeps its own."""

_TINT, _SURFACE = 0.45, 0.5
_SURFACE_COLOUR = np.array([120, 205, 235], np.float32)
_BATCH = 32
_WORKERS = 2
STILLS = 6
_RED = (230, 40, 40)
_CONTOURS = (
    (FACE_OVAL, True), (LIPS_OUTER, True), (LIPS_INNER, True), (RIGHT_EYE, True), (LEFT_EYE, True),
    (RIGHT_IRIS[1:], True), (LEFT_IRIS[1:], True), (RIGHT_BROW[:5], False), (RIGHT_BROW[5:], False),
    (LEFT_BROW[:5], False), (LEFT_BROW[5:], False), ((168, 6, 197, 195, 5, 4), False),
)  # fmt: skip


@dataclass(frozen=True)
class Masks:
    """The labels of a clip's pixels with their names, and its soft masks with the person's channel."""

    labels: FrameStore
    names: Sequence[str]
    soft: FrameStore
    person: int


def open_masks(segmentation: Segmentation | None, n_frames: int) -> Masks | None:
    """The masks to draw, or None where there are none for every frame (or none with parts)."""
    if segmentation is None or segmentation.n_frames != n_frames or not segmentation.layout.parts.exists():
        return None
    return Masks(segmentation.parts(), PART_NAMES, segmentation.masks(), MASK_CHANNELS.index("person"))


def shown_frames(n: int) -> Int[np.ndarray, "f"]:
    """Indices of the frames that the overlay shows: the whole clip, or pieces of a long one."""
    if n <= STRETCHES * STRETCH_FRAMES:
        return np.arange(0, n, EVERY)
    starts = np.linspace(0, n - STRETCH_FRAMES, STRETCHES).astype(int)
    return np.concatenate([np.arange(start, start + STRETCH_FRAMES, EVERY) for start in starts])


def write_overlay(
    path: Path,
    frames: FrameStore,
    landmarks: Landmarks,
    tracking: Tracking,
    head: HeadTrack | None,
    masks: Masks | None,
    progress: Progress,
    *,
    audio: Path | None = None,
) -> list[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
    """Write the overlay as mp4: masks (where there are any) left, head or landmarks right.

    Frames that are not used have a red border; the time stands in the corner. The sound is added where the whole clip
    is shown.

    Returns:
        A few of its frames with their times, seconds.

    Raises:
        UserError: the path cannot be written or the disk is full.
    """
    chosen = shown_frames(len(frames))
    kept = set(chosen[np.linspace(0, len(chosen) - 1, STILLS + 2).astype(int)[1:-1]].tolist())
    stills: list[tuple[float, np.ndarray]] = []
    whole = len(chosen) * EVERY >= len(frames)
    size = (SIDE * (2 if masks else 1), SIDE)
    with progress.stage("overlay video", len(chosen)) as advance, ThreadPoolExecutor(_WORKERS) as pool:

        def draw(item: tuple[int, np.ndarray | None]) -> np.ndarray:
            index, vertices = item
            image = cv2.resize(frames.read(index), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            if head is not None and vertices is not None:
                right = draw_mesh(image, vertices, head.head.triangles, tracking)
            else:
                right = draw_landmarks(image, landmarks.points[index, :, :2] * np.float32(SIDE / landmarks.size))
            both = [draw_masks(image, masks, index), right] if masks else [right]
            return _framed(np.concatenate(both, 1), bool(tracking.valid[index]), index / VIDEO_FPS)

        def posed() -> Iterator[tuple[int, np.ndarray | None]]:
            for first in range(0, len(chosen), _BATCH):
                part = chosen[first : first + _BATCH]
                vertices = camera_vertices(head, tracking, part) if head else [None] * len(part)
                yield from zip(part.tolist(), vertices, strict=True)

        def panels() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
            for index, shown in zip(chosen.tolist(), ordered_map(pool, draw, posed(), _BATCH), strict=True):
                if index in kept:
                    stills.append((index / VIDEO_FPS, shown))
                yield shown
                advance(1)

        length = len(chosen) * EVERY / VIDEO_FPS
        sound = audio if whole else None
        write_video(path, panels(), VIDEO_FPS / EVERY, size, audio=sound, seconds=length, crf=24, quick=True)
    return stills


def draw_masks(image: UInt8[np.ndarray, "s s 3"], masks: Masks, index: int) -> UInt8[np.ndarray, "s s 3"]:
    """The picture with every mask in its tint, and the person's outline."""
    side = image.shape[0]
    labels = np.asarray(cv2.resize(masks.labels.read(index)[..., 0], (side, side), interpolation=cv2.INTER_NEAREST))
    paint = image.copy()
    for label, name in enumerate(masks.names):
        if name in TINTS:
            paint[labels == label] = TINTS[name]
    shown = cv2.addWeighted(image, 1 - _TINT, paint, _TINT, 0)
    person = cv2.resize(masks.soft.read(index)[..., masks.person], (side, side), interpolation=cv2.INTER_NEAREST)
    outline, _ = cv2.findContours((person > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outline, -1, (255, 255, 255), 1, cv2.LINE_AA)
    return shown


def draw_mesh(
    image: UInt8[np.ndarray, "s s 3"],
    vertices: Float32[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    tracking: Tracking,
) -> UInt8[np.ndarray, "s s 3"]:
    """The picture under the shaded, translucent head; light comes from the camera."""
    side = image.shape[0]
    K = tracking.K.copy()
    K[:2] *= side / tracking.size
    raster = rasterize_mesh(vertices, triangles, K, side, side)
    seen = raster.triangle_index >= 0
    shade = facing(vertices, triangles)[raster.triangle_index[seen]]
    surface = image.copy()
    surface[seen] = (0.15 + 0.85 * shade[:, None]) * _SURFACE_COLOUR
    return cv2.addWeighted(image, 1 - _SURFACE, surface, _SURFACE, 0)


def facing(vertices: Float32[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]) -> Float32[np.ndarray, "t"]:
    """How squarely every triangle faces the camera's axis, 0..1."""
    x, y, z = (vertices[:, axis][triangles] for axis in range(3))
    ax, ay, az = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], z[:, 1] - z[:, 0]
    bx, by, bz = x[:, 2] - x[:, 0], y[:, 2] - y[:, 0], z[:, 2] - z[:, 0]
    across, down, deep = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return np.abs(deep) / np.maximum(np.sqrt(across**2 + down**2 + deep**2), 1e-12)


def draw_landmarks(
    image: UInt8[np.ndarray, "s s 3"], points: Float32[np.ndarray, "478 2"]
) -> UInt8[np.ndarray, "s s 3"]:
    """The picture with the face's contours and all points."""
    shown = image.copy()
    for contour, closed in _CONTOURS:
        line = np.rint(points[list(contour)] * 16).astype(np.int32)[:, None]
        cv2.polylines(shown, [line], closed, (60, 230, 160), 1, cv2.LINE_AA, shift=4)
    inside = np.rint(points - 0.5).astype(int)
    inside = inside[((inside >= 0) & (inside < image.shape[0])).all(1)]
    shown[inside[:, 1], inside[:, 0]] = (255, 255, 255)
    return shown


def _framed(image: UInt8[np.ndarray, "h w 3"], used: bool, seconds: float) -> UInt8[np.ndarray, "h w 3"]:
    if not used:
        cv2.rectangle(image, (0, 0), (image.shape[1] - 1, image.shape[0] - 1), _RED, 6)
    text = f"{int(seconds // 60)}:{seconds % 60:04.1f}"
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, (10, image.shape[0] - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width, cv2.LINE_AA)
    return image
