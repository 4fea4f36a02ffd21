"""Figures of rendered against real frames. Images are uint8 RGB, landmarks pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gaussavatar.landmarks.indices import LEFT_EYE_CORNERS, LIPS_INNER, LIPS_OUTER, RIGHT_EYE_CORNERS
from gaussavatar.statistics import correlation

LIPS = LIPS_OUTER + LIPS_INNER
EYE_CORNERS = RIGHT_EYE_CORNERS + LEFT_EYE_CORNERS

LANDMARK_SIZE = 512
"""Landmark distances are given in pixels of an image of this side, whatever was rendered."""


def psnr(
    rendered: UInt8[np.ndarray, "h w 3"],
    real: UInt8[np.ndarray, "h w 3"],
    region: Bool[np.ndarray, "h w"] | None = None,
) -> float:
    """Peak signal-to-noise ratio in dB over the pixels of ``region``; nan when it is empty."""
    difference = (rendered.astype(np.float32) - real.astype(np.float32)) / 255
    squared = difference**2 if region is None else difference[region] ** 2
    if squared.size == 0:
        return float("nan")
    return float(-10 * np.log10(max(float(squared.mean()), 1e-10)))


def lip_distance(rendered: Float[np.ndarray, "n 478 3"], real: Float[np.ndarray, "n 478 3"]) -> Float[np.ndarray, "n"]:
    """Landmark distance (LMD): mean distance of the lip points in pixels after removing each frame's mean.

    As in TalkingGaussian's protocol (ECCV 2024, sec. 4.1), with MediaPipe's 40 lip points.
    """

    def centred(points: np.ndarray) -> np.ndarray:
        lips = points[:, list(LIPS), :2]
        return lips - lips.mean(axis=1, keepdims=True)

    return np.linalg.norm(centred(rendered) - centred(real), axis=-1).mean(axis=-1)


def jitter(points: Float[np.ndarray, "n 478 3"]) -> float:
    """Mean size of the second difference of the eye corners, pixels per frame squared."""
    corners = points[:, list(EYE_CORNERS), :2]
    second = corners[2:] - 2 * corners[1:-1] + corners[:-2]
    return float(np.linalg.norm(second, axis=-1).mean()) if len(second) else float("nan")


@dataclass(frozen=True)
class FaceSeries:
    """What MediaPipe measures in a sequence of frames; nan where it found no face."""

    points: Float[np.ndarray, "n 478 3"]
    aperture: Float[np.ndarray, "n"]
    width: Float[np.ndarray, "n"]
    eyes: Float[np.ndarray, "n"]


def compare_faces(rendered: FaceSeries, real: FaceSeries) -> dict[str, float]:
    """Lip, width and blink correlations, landmark distance, amplitude ratio and head jitter ratio."""
    spread = float(np.nanstd(real.aperture))
    return {
        "lmd": float(np.nanmean(lip_distance(rendered.points, real.points))),
        "lip_r": correlation(rendered.aperture, real.aperture),
        "width_r": correlation(rendered.width, real.width),
        "blink_r": correlation(rendered.eyes, real.eyes),
        "aperture_std_ratio": float(np.nanstd(rendered.aperture)) / max(spread, 1e-9),
        "jitter_ratio": jitter(rendered.points) / max(jitter(real.points), 1e-9),
    }
