"""Another person who takes over for a moment: found at cuts, by the same likeness as in the prescan."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from gaussavatar.capture.suitability import Sample, colour_histogram, main_group, shape_of
from gaussavatar.progress import Progress
from gaussavatar.storage import FrameStore
from gaussavatar.types import Landmarks

_STRIDE = 16
_CUT_CHANGE, _CUT_FACTOR = 12.0, 4.0
"""Mean grey difference that a cut makes at least, and over those of the frames beside it."""

_SHAPE_JUMP = 0.06
"""Change of the face's 3-D shape from one frame to the next, relative to its size; one person's is 0.01 and rarely more
than 0.04 (six real clips, strong grimaces included)."""

_PLACE_JUMP = 0.15
"""Motion of the face from one frame to the next over its height that only another face makes."""

_SAMPLES_PER_SHOT = 4
_MAX_SAMPLES = 64
_MARGIN = 3


def find_strangers(frames: FrameStore, landmarks: Landmarks, progress: Progress) -> Bool[np.ndarray, "n"]:
    """Frames of shots whose face is not that of the person whom most of the clip shows.

    Every frame is looked at once for cuts; samples of the shots between them are grouped by likeness
    (:func:`gaussavatar.capture.suitability.main_group`). A clip without cuts has no strangers.

    Args:
        frames: The captured frames.
        landmarks: Their face landmarks.
        progress: Where to report.
    """
    n = len(frames)
    strangers = np.zeros(n, bool)
    bounds = [0, *shot_starts(frames, landmarks, progress).tolist(), n]
    shots = [(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True) if landmarks.valid[a:b].any()]
    if len(shots) < 2:
        return strangers
    each = max(1, min(_SAMPLES_PER_SHOT, _MAX_SAMPLES // len(shots)))
    samples, owners = [], []
    for number, (first, last) in enumerate(shots):
        for index in _spread(first, last, landmarks.valid, each):
            if (sample := _sample(frames, landmarks, int(index))) is not None:
                samples.append(sample)
                owners.append(number)
    weights = [shots[number][1] - shots[number][0] for number in owners]
    main = main_group(samples, weights)
    ours = {owners[index] for index in main}
    for number, (first, last) in enumerate(shots):
        if number not in ours and number in owners:
            strangers[first:last] = True
    # At a cut the detector needs a frame or two to let go of the face before; those belong to the stranger's shot.
    for first, last in (*shots, *reversed(shots)):
        if last - first < _MARGIN and (strangers[max(0, first - 1)] or strangers[min(n - 1, last)]):
            strangers[first:last] = True
    return strangers


def shot_starts(frames: FrameStore, landmarks: Landmarks, progress: Progress) -> Int[np.ndarray, "c"]:
    """First frames of new shots: where the whole picture changes at once, or the face's shape or place jumps."""
    n = len(frames)
    changes = np.zeros(n)
    before: np.ndarray | None = None
    with progress.stage("cuts", n) as advance:
        for index in range(n):
            small = frames.read(index)[::_STRIDE, ::_STRIDE].astype(np.float32)
            if before is not None:
                changes[index] = np.abs(small - before).mean()
            before = small
            advance(1)
    padded = np.pad(changes, 1)
    beside = np.maximum(padded[:-2], padded[2:])
    cuts = (changes > _CUT_CHANGE) & (changes > _CUT_FACTOR * beside)
    return np.flatnonzero(cuts | face_jumps(landmarks))


def face_jumps(landmarks: Landmarks) -> Bool[np.ndarray, "n"]:
    """Frames whose face differs in shape or place from that of the last frame with a face.

    Pose and size are taken out of the shape.
    """
    jumps = np.zeros(len(landmarks.valid), bool)
    known = np.flatnonzero(landmarks.valid)
    if len(known) < 2:
        return jumps
    points = landmarks.points[known]
    shapes = shape_of(points)
    moved = np.linalg.norm(np.diff(points[..., :2].mean(1), axis=0), axis=1)
    height = np.maximum(np.ptp(points[:-1, :, 1], axis=1), 1e-6)
    jumps[known[1:]] = (_paired_distance(shapes[:-1], shapes[1:]) > _SHAPE_JUMP) | (moved > _PLACE_JUMP * height)
    return jumps


def _paired_distance(a: Float[np.ndarray, "m p 3"], b: Float[np.ndarray, "m p 3"]) -> Float[np.ndarray, "m"]:
    """:func:`gaussavatar.capture.suitability.shape_distance` of many pairs at once (Umeyama 1991, eq. 40-42)."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    U, s, Vt = np.linalg.svd(a.swapaxes(1, 2) @ b)
    s[:, 2] *= np.sign(np.linalg.det(U @ Vt))
    size_a, size_b = (a**2).sum((1, 2)), (b**2).sum((1, 2))
    return np.sqrt(np.maximum(0.0, 1.0 - s.sum(1) ** 2 / np.maximum(size_a * size_b, 1e-12)))


def _spread(first: int, last: int, valid: np.ndarray, count: int) -> np.ndarray:
    """Up to ``count`` frames with a face, away from the shot's ends where it is long enough."""
    known = first + np.flatnonzero(valid[first:last])
    inner = known[(known >= first + _MARGIN) & (known < last - _MARGIN)]
    chosen = inner if len(inner) else known
    return chosen[np.unique(np.linspace(0, len(chosen) - 1, count).round().astype(int))]


def _sample(frames: FrameStore, landmarks: Landmarks, index: int) -> Sample | None:
    image = frames.read(index)
    points = landmarks.points[index]
    scale = frames.shape[1] / landmarks.size
    x0, y0 = np.clip(points[:, :2].min(0) * scale, 0, None).astype(int)
    x1, y1 = np.ceil(points[:, :2].max(0) * scale).astype(int)
    face = image[y0:y1, x0:x1]
    if face.size == 0:
        return None
    return Sample(index / 25, (), points, colour_histogram(face), colour_histogram(image))
