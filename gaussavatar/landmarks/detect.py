"""Face landmarks of every frame of a clip, in two workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gaussavatar.errors import UserError
from gaussavatar.landmarks.face_mesh import FaceDetector, FaceMesh
from gaussavatar.parallel import ordered_map
from gaussavatar.progress import Progress, QuietProgress
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.types import N_LANDMARKS, Landmarks

__all__ = ["FaceDetector", "FaceMesh", "detect_landmarks", "fill_gaps", "load_landmarks", "save_landmarks"]

MAX_GAP = 5
"""Frames without a face that are bridged by interpolation; longer gaps are not used."""

_WORKERS = 2
_BLOCK = 48
_WARM_UP = 4
"""Frames that a worker looks at before its block, so that its region follows the face as in an unbroken run."""


def detect_landmarks(
    images: Iterable[UInt8[np.ndarray, "h w 3"]],
    size: int,
    *,
    static: bool = False,
    n_total: int | None = None,
    progress: Progress | None = None,
) -> Landmarks:
    """Detect 478 landmarks in every image; the stream is never held as a whole.

    Blocks of frames go to two workers in turn (MediaPipe releases the interpreter's lock), each block
    with a few frames of lead, so the result does not depend on timing.

    Args:
        images: Square RGB images of side ``size``.
        size: Side in pixels.
        static: Treat the images as unrelated ones, not as a video.
        n_total: Number of images, for the progress display.
        progress: Where to report.

    Returns:
        Landmarks with every frame filled: frames without a face are interpolated and not ``valid``.
    """
    found: list[Float32[np.ndarray, "478 3"] | None] = []
    with ExitStack() as stack:
        advance = stack.enter_context((progress or QuietProgress()).stage("landmarks", n_total or 0))
        workers = [stack.enter_context(FaceMesh(static=static)) for _ in range(_WORKERS)]
        pool = stack.enter_context(ThreadPoolExecutor(_WORKERS))

        def detect(item: tuple[int, tuple[list[np.ndarray], list[np.ndarray]]]) -> list[np.ndarray | None]:
            number, (lead, block) = item
            return _detect_block(workers[number % _WORKERS], lead, block)

        # A worker takes its blocks one after the other, since no more are under way than there are workers.
        blocks = enumerate(_blocks(images, size, 0 if static else _WARM_UP))
        for several in ordered_map(pool, detect, blocks, _WORKERS):
            found += several
            advance(len(several))
    valid = np.array([points is not None for points in found], bool)
    points = np.stack([np.zeros((N_LANDMARKS, 3), np.float32) if p is None else p for p in found] or [_nothing()])
    return Landmarks(fill_gaps(points[: len(found)], valid), valid, size)


def _nothing() -> Float32[np.ndarray, "478 3"]:
    return np.zeros((N_LANDMARKS, 3), np.float32)


def _blocks(images: Iterable[np.ndarray], size: int, lead_length: int) -> Iterator[tuple[list, list]]:
    lead: list[np.ndarray] = []
    block: list[np.ndarray] = []
    for image in images:
        if image.shape != (size, size, 3):
            raise ValueError(f"expected images of {size} x {size}, got {image.shape}")
        block.append(image)
        if len(block) == _BLOCK:
            yield lead, block
            lead = block[len(block) - lead_length :]
            block = []
    if block:
        yield lead, block


def _detect_block(mesh: FaceMesh, lead: list[np.ndarray], block: list[np.ndarray]) -> list[np.ndarray | None]:
    last = None
    found: list[np.ndarray | None] = []
    for image in (*lead, *block):
        points = mesh.detect(image)
        if points is not None and last is not None and _jumped(last, points):
            # The region of the frame before was off; now it is where the face went.
            points = mesh.detect(image)
        found.append(points)
        last = points
    return found[len(lead) :]


def _jumped(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether the face moved by more than 3 % of its height, as it does at a cut."""
    return bool(np.abs(after[:, :2].mean(0) - before[:, :2].mean(0)).max() > 0.03 * np.ptp(before[:, 1]))


def fill_gaps(points: Float32[np.ndarray, "n p d"], valid: Bool[np.ndarray, "n"]) -> Float32[np.ndarray, "n p d"]:
    """Replace the points of invalid frames: linear between valid neighbours, the nearest valid ones at the ends."""
    if valid.all() or not valid.any():
        return points
    known = np.flatnonzero(valid)
    missing = np.flatnonzero(~valid)
    right = np.searchsorted(known, missing)
    before, after = known[np.maximum(right - 1, 0)], known[np.minimum(right, len(known) - 1)]
    part = np.where(after > before, (missing - before) / np.maximum(after - before, 1), 0.0).astype(np.float32)
    filled = points.copy()
    filled[missing] = points[before] + part[:, None, None] * (points[after] - points[before])
    return filled


def usable_frames(valid: Bool[np.ndarray, "n"], max_gap: int = MAX_GAP) -> Bool[np.ndarray, "n"]:
    """Frames with a face, and those in gaps of at most ``max_gap`` frames between such frames."""
    usable = valid.copy()
    known = np.flatnonzero(valid)
    for before, after in zip(known[:-1], known[1:], strict=True):
        if 1 < after - before <= max_gap + 1:
            usable[before:after] = True
    return usable


def save_landmarks(path: Path, landmarks: Landmarks) -> None:
    """Write landmarks as safetensors, atomically."""
    arrays = {"points": landmarks.points, "valid": landmarks.valid.astype(np.uint8)}
    write_arrays(path, arrays, {"size": str(landmarks.size)})


def load_landmarks(path: Path) -> Landmarks:
    """Read :func:`save_landmarks`.

    Raises:
        UserError: the file is missing or damaged.
    """
    arrays, metadata = read_arrays(path)
    try:
        return Landmarks(arrays["points"], arrays["valid"].astype(bool), int(metadata["size"]))
    except (KeyError, ValueError) as error:
        raise UserError(f"landmarks in {path}", f"a damaged file ({error!r})", "delete it and run again") from error
