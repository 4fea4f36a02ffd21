"""Figures of a whole clip from its measurements: sharpness, light, coverage, steadiness, and which frames drop out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import median_filter

from gaussavatar.intervals import true_runs
from gaussavatar.landmarks.indices import CHIN, FOREHEAD_TOP
from gaussavatar.quality.pictures import Pictures
from gaussavatar.statistics import correlation
from gaussavatar.tracking.poses.steadiness import fast, shaking
from gaussavatar.types import VIDEO_FPS, FaceMotion, Landmarks, Tracking

_REFERENCE_SIZE = 512
_MOTION_BLUR_RISE = 0.08
"""Rise of the blur over the second around it that makes one frame a smeared one: a smear of 5 px raises it so far."""

_MOTION_BLUR_WINDOW = 25
_BLINK_SHUT, _BLINK_OPEN = 0.6, 0.4
_BLINK_LONGEST = 12


@dataclass(frozen=True)
class Stretch:
    """Frames ``first`` up to, but not including, ``last`` with one thing in common."""

    first: int
    last: int
    reason: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.last - self.first) / VIDEO_FPS


def stretches(flags: Bool[np.ndarray, "n"], reason: str) -> list[Stretch]:
    """The runs of true values."""
    return [Stretch(first, last, reason) for first, last in true_runs(flags).tolist()]


def head_angles(R_camera_head: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    """Yaw (to the image's right), pitch (up) and roll (clockwise in the picture) against the camera, degrees."""
    forward = -R_camera_head[:, :, 2].astype(np.float64)
    across = R_camera_head[:, :, 0].astype(np.float64)
    yaw = np.arctan2(forward[:, 0], -forward[:, 2])
    pitch = np.arctan2(-forward[:, 1], np.hypot(forward[:, 0], forward[:, 2]))
    roll = np.arctan2(across[:, 1], np.hypot(across[:, 0], across[:, 2]))
    return np.rad2deg(np.stack([yaw, pitch, roll], 1))


def face_heights(landmarks: Landmarks) -> Float[np.ndarray, "n"]:
    """Height of every face, hairline to chin, in pixels of the landmarks' size."""
    return np.linalg.norm(landmarks.points[:, CHIN, :2] - landmarks.points[:, FOREHEAD_TOP, :2], axis=1)


def sharpness_figures(pictures: Pictures) -> dict[str, float]:
    """``blur`` (median, 0 crisp to 1 smeared) and ``smeared_share``, the part of frames that motion smears."""
    return {"blur": _median(pictures.blur), "smeared_share": _share(smeared_frames(pictures))}


def smeared_frames(pictures: Pictures) -> Bool[np.ndarray, "n"]:
    """Frames that are clearly blurrier than the second around them: the head or the camera moved too fast."""
    blur = _filled(pictures.blur)
    if not len(blur):
        return np.zeros(0, bool)
    usual = median_filter(blur, size=_MOTION_BLUR_WINDOW, mode="nearest")
    return np.nan_to_num(pictures.blur, nan=0.0) > usual + _MOTION_BLUR_RISE


def light_figures(pictures: Pictures) -> dict[str, float]:
    """``luma`` (median, 0..255), ``light_range`` and ``light_step`` in stops, ``blown_share``, ``crushed_share``.

    The range is that of the middle 96 % of the face's brightness; the step is the largest change of the median
    brightness from one second to the next. A stop is a factor of two in light (display gamma 2.2).
    """
    luma = pictures.luma[np.isfinite(pictures.luma)]
    if not len(luma):
        return dict.fromkeys(("luma", "light_range", "light_step", "blown_share", "crushed_share"), 0.0)
    stops = 2.2 * np.log2(np.maximum(luma, 1.0))
    low, high = np.percentile(stops, [2, 98])
    seconds = np.array([np.median(part) for part in _blocks(stops, VIDEO_FPS)])
    step = float(np.abs(np.diff(seconds)).max()) if len(seconds) > 1 else 0.0
    return {
        "luma": float(np.median(luma)),
        "light_range": float(high - low),
        "light_step": step,
        "blown_share": _median(pictures.blown),
        "crushed_share": _median(pictures.crushed),
    }


def coverage_figures(tracking: Tracking, motion: FaceMotion) -> dict[str, float]:
    """How far the head turns and the face moves over the frames that are used.

    ``yaw_low`` .. ``pitch_high`` are 2nd and 98th percentiles, degrees; ``mouth_range`` and ``smile_range`` are
    lip gap and mouth width over the distance of the outer eye corners, between those percentiles;
    ``blinks_per_minute`` counts closures of at most half a second.
    """
    used = tracking.valid
    if not used.any():
        return {}
    angles = head_angles(tracking.R_camera_head)[used]
    (yaw_low, pitch_low, _), (yaw_high, pitch_high, _) = np.percentile(angles, [2, 98], axis=0)
    mouth, width = (np.percentile(values[used], [2, 50, 98]) for values in (motion.aperture, motion.width))
    return {
        "yaw_low": float(yaw_low),
        "yaw_high": float(yaw_high),
        "pitch_low": float(pitch_low),
        "pitch_high": float(pitch_high),
        "mouth_range": float(mouth[2] - mouth[0]),
        "smile_range": float(width[2] - width[1]),
        "blinks_per_minute": len(blink_frames(motion, used)) / (used.sum() / VIDEO_FPS / 60),
    }


def blink_frames(motion: FaceMotion, used: Bool[np.ndarray, "n"]) -> Int[np.ndarray, "b"]:
    """First frames of the closures of both eyes that last at most half a second."""
    names = [motion.upper_names.index(name) for name in ("blink_left", "blink_right")]
    shut = motion.upper[:, names].mean(1)
    starts: list[int] = []
    closed_at: int | None = None
    for index, value in enumerate(shut):
        if closed_at is None and value > _BLINK_SHUT:
            closed_at = index
        elif value < _BLINK_OPEN:
            if closed_at is not None and index - closed_at <= _BLINK_LONGEST and used[closed_at]:
                starts.append(closed_at)
            closed_at = None
    return np.array(starts, int)


def steadiness_figures(tracking: Tracking, motion: FaceMotion) -> dict[str, float]:
    """``shake_deg`` and ``shake_mm``, what of the head's motion is faster than a head; correlations with the mouth.

    ``pitch_mouth_r`` is the correlation of the fast pitch with the fast lip gap: the skull must not nod with the mouth.
    Frames around cuts are left out.
    """
    shaken = shaking(tracking)
    if shaken.used.sum() < 2 * VIDEO_FPS:
        return {}
    mouth = fast(motion.aperture.astype(np.float64))[shaken.used]
    return {
        "shake_deg": shaken.degrees,
        "shake_mm": shaken.millimetres,
        "pitch_mouth_r": correlation(shaken.turned[:, 0], mouth),
    }


def residual_figures(tracking: Tracking) -> dict[str, float]:
    """``residual_px``, root mean square distance of landmarks and fit over the used frames, at 512 px; and its 95 %."""
    rms = tracking.rms[tracking.valid] * (_REFERENCE_SIZE / tracking.size)
    if not len(rms):
        return {}
    return {"residual_px": float(np.sqrt((rms**2).mean())), "residual_high_px": float(np.percentile(rms, 95))}


def camera_figures(pictures: Pictures, size: int) -> dict[str, float]:
    """How far the camera moved: ``camera_px`` (95th percentile, at 512 px), where the background shows it.

    ``camera_seen`` is the part of samples that showed it.
    """
    seen = np.isfinite(pictures.camera_px).all(1)
    if seen.sum() < 3:
        return {"camera_seen": float(seen.mean()) if len(seen) else 0.0}
    # Single wrong matches are isolated in time; a camera that moves stays moved.
    moved = median_filter(pictures.camera_px[seen], size=(5, 1), mode="nearest")
    moved = moved - np.median(moved, axis=0)
    return {
        "camera_px": float(np.percentile(np.abs(moved).max(1), 95)) * _REFERENCE_SIZE / size,
        "camera_seen": float(seen.mean()),
    }


def dropped_frames(
    landmarks: Landmarks, tracking: Tracking, marks: Mapping[str, Bool[np.ndarray, "n"]]
) -> list[Stretch]:
    """The stretches that will not be used, each with the first reason that holds, in order of time.

    Args:
        landmarks: Landmarks; frames without a face are not ``valid`` there.
        tracking: Fit; frames that are not ``valid`` there are not used.
        marks: Further reasons, by the words that the page shows, in order of precedence.
    """
    left = np.ones(len(tracking.valid), bool)
    found: list[Stretch] = []
    lost = {"no face found": ~tracking.valid & ~landmarks.valid, "face not understood": ~tracking.valid}
    for reason, flags in {**marks, **lost}.items():
        found += stretches(flags & left, reason)
        left &= ~flags
    return sorted(found, key=lambda stretch: stretch.first)


def bridged_gaps(landmarks: Landmarks, tracking: Tracking) -> tuple[int, int]:
    """Frames without a face that interpolation bridges, and the length of the longest gap that it does not."""
    missing = stretches(~landmarks.valid, "gap")
    bridged = sum(int(tracking.valid[gap.first : gap.last].sum()) for gap in missing)
    left = [gap.last - gap.first for gap in missing if not tracking.valid[gap.first : gap.last].any()]
    return bridged, max(left, default=0)


def _filled(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    known = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), known, values[known]) if len(known) else np.zeros(len(values))


def _median(values: Float[np.ndarray, "n"]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0


def _share(flags: Bool[np.ndarray, "n"]) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _blocks(values: np.ndarray, length: int) -> Sequence[np.ndarray]:
    return np.array_split(values, max(1, len(values) // length))
