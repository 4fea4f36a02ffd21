"""Hands before the face: where one covers it, landmarks are guesses and the skin is not the face's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from gaussavatar.intervals import true_runs
from gaussavatar.landmarks.face_mesh import _Solution
from gaussavatar.progress import Progress
from gaussavatar.storage import FrameStore
from gaussavatar.types import Landmarks

SAMPLE_EVERY = 8
"""Frames between looks: a third of a second, shorter than a hand stays at a face."""

EDGE_FRAMES = 2
"""A hand's coming and going is found to so many frames."""

LEAST_LOOKS = 2
"""A hand that is seen in a single look only is a mistake of the detector."""

LEAST_OVERLAP = 0.015
"""Part of the face's area that a hand must cover."""

_N_FACE = 468
_LOOK_SIDE = 384


class HandFinder(_Solution):
    """Hands of unrelated images, with the lite models that MediaPipe's wheel carries.

    The full model takes bare faces for hands now and then (one of 120 looks at six real clips), the lite one did not.
    """

    def __init__(self, *, max_hands: int = 2, min_confidence: float = 0.6) -> None:
        super().__init__()
        self._options = {
            "static_image_mode": True,
            "max_num_hands": max_hands,
            "model_complexity": 0,
            "min_detection_confidence": min_confidence,
        }

    def _make(self) -> Any:
        import mediapipe

        return mediapipe.solutions.hands.Hands(**self._options)

    def detect_all(self, image: UInt8[np.ndarray, "h w 3"]) -> list[Float32[np.ndarray, "21 2"]]:
        """The joints of every hand in pixels (centres at +0.5)."""
        scale = np.array([image.shape[1], image.shape[0]], np.float32)
        return [
            np.array([(p.x, p.y) for p in hand.landmark], np.float32) * scale
            for hand in self._process(image, "multi_hand_landmarks")
        ]


def covers_face(hand: Float[np.ndarray, "k 2"], face: Float[np.ndarray, "p 2"]) -> bool:
    """Whether the hull of a hand's joints covers a noticeable part of the face's hull."""
    outline = cv2.convexHull(np.ascontiguousarray(face, np.float32))
    area = cv2.contourArea(outline)
    if area <= 0:
        return False
    overlap, _ = cv2.intersectConvexConvex(cv2.convexHull(np.ascontiguousarray(hand, np.float32)), outline)
    return overlap >= LEAST_OVERLAP * area


def hands_over_face(frames: FrameStore, landmarks: Landmarks, progress: Progress) -> Bool[np.ndarray, "n"]:
    """Frames in which a hand is before the face; looked for in every eighth frame, and more closely where one comes.

    Args:
        frames: The captured frames.
        landmarks: Their face landmarks.
        progress: Where to report.
    """
    side = min(_LOOK_SIDE, frames.shape[1])
    faces = landmarks.points[:, :_N_FACE, :2] * np.float32(side / landmarks.size)
    with progress.stage("hands", len(frames)) as advance, HandFinder() as finder:

        def look(index: int) -> bool:
            if not landmarks.valid[index]:
                return False
            image = cv2.resize(frames.read(index), (side, side), interpolation=cv2.INTER_AREA)
            return any(covers_face(hand, faces[index]) for hand in finder.detect_all(np.asarray(image, np.uint8)))

        return find_spans(len(frames), look, advance)


def find_spans(n: int, look: Callable[[int], bool], advance: Callable[[int], None]) -> Bool[np.ndarray, "n"]:
    """Where ``look`` holds, from a look at every eighth index and bisection where the answer changes.

    Indices between two looks that agree get their answer; between two that differ, which are at most
    :data:`EDGE_FRAMES` apart, they count as true. Runs with fewer true looks than :data:`LEAST_LOOKS` are dropped.
    """
    flags = np.zeros(n, bool)
    if n == 0:
        return flags
    places = [*range(0, n - 1, SAMPLE_EVERY), n - 1]
    known = {0: look(0)}
    for a, b in zip(places[:-1], places[1:], strict=True):
        known[b] = look(b)
        _refine(a, b, known, look)
        advance(b - a)
    seen = sorted(known)
    for a, b in zip(seen[:-1], seen[1:], strict=True):
        flags[a + 1 : b] = known[a] or known[b]
    for index, value in known.items():
        flags[index] = value
    for first, last in true_runs(flags):
        if sum(known.get(index, False) for index in range(first, last)) < min(LEAST_LOOKS, len(known)):
            flags[first:last] = False
    return flags


def _refine(a: int, b: int, known: dict[int, bool], look: Callable[[int], bool]) -> None:
    while known[a] != known[b] and b - a > EDGE_FRAMES:
        middle = (a + b) // 2
        known[middle] = look(middle)
        a, b = (middle, b) if known[middle] == known[a] else (a, middle)
