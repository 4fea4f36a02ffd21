"""Whether the camera stands still, from what can be followed in the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from gaussavatar.segmentation.torso import body_shift
from gaussavatar.storage import FrameStore

SIDE = 256
"""Side of the images in which the background is followed."""

STILL_MOTION, STILL_TRAVEL = 0.35, 3.0
"""Pixels per frame and pixels in all, at 512, up to which a camera counts as standing still."""


@dataclass(frozen=True)
class CameraMotion:
    """Motion of the background, in pixels of a 512 image."""

    per_frame: float
    """Root mean square of the shift from frame to frame."""
    travel: float
    """95th percentile of the distance from where the background lay at first."""
    followed: float
    """Share of the compared frames in which the background could be followed."""

    @property
    def still(self) -> bool:
        """Whether nothing speaks against a static camera."""
        return self.per_frame <= STILL_MOTION and self.travel <= STILL_TRAVEL


def camera_motion(
    frames: FrameStore, chosen: Sequence[int], persons: UInt8[np.ndarray, "m p p"], reach: float
) -> CameraMotion:
    """Follow the background at the sampled frames ``chosen``: to the next frame, and from sample to sample.

    ``persons`` are the person probabilities (0..255) of the samples; what is nearer than ``reach`` (in
    pixels at 512) to a person is left out. The shift is the median of the corners' motions
    if most agree with it, so a passer-by does not count as camera motion.
    """
    last = len(frames) - 1
    greys = [_grey(frames.read(index)) for index in chosen]
    radius = max(1, round(reach * SIDE / 512))
    backgrounds = [_background(person, radius) for person in persons]
    steps, path = [], [np.zeros(2)]
    for position, index in enumerate(chosen):
        if index < last:
            steps.append(body_shift(greys[position], _grey(frames.read(index + 1)), backgrounds[position]))
        if position:
            both = cv2.bitwise_and(backgrounds[position - 1], backgrounds[position])
            shift = body_shift(greys[position - 1], greys[position], both)
            path.append(path[-1] + (shift if shift is not None else 0.0))
    return summarize_motion(steps, np.stack(path), 512 / SIDE)


def summarize_motion(
    steps: Sequence[tuple[float, float] | None], path: Float[np.ndarray, "m 2"], scale: float
) -> CameraMotion:
    """Figures from the shifts from frame to frame (None: lost) and the places along the clip, times ``scale``."""
    known = np.array([step for step in steps if step is not None], np.float64).reshape(-1, 2) * scale
    away = np.linalg.norm(path - path[0], axis=-1) * scale
    return CameraMotion(
        per_frame=float(np.sqrt((known**2).sum(-1).mean())) if len(known) else 0.0,
        travel=float(np.percentile(away, 95)),
        followed=len(known) / max(len(steps), 1),
    )


def _grey(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "b b"]:
    return cv2.cvtColor(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


def _background(person: UInt8[np.ndarray, "p p"], radius: int) -> UInt8[np.ndarray, "b b"]:
    """1 where certainly no person is."""
    small = cv2.resize(person, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return (cv2.dilate(small, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) < 26).astype(np.uint8)
