"""How well one curve of lips follows another over time: correlation, lag, amplitude, jitter. Pure functions on arrays.

Curves are openings or widths, one value per video frame; nan where a frame tells nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from gaussavatar.evaluate.metrics import LANDMARK_SIZE, LIPS
from gaussavatar.statistics import correlation
from gaussavatar.types import VIDEO_FPS, FaceMotion, Tracking

REACH = 12
"""Frames (half a second) within which a lag is looked for."""

LEAST_R = 0.3
"""Correlation below which no shift fits, so that the best one says nothing."""

SHIFT = 8
"""Frames by which the sound is shifted to see whether the lips follow it."""


def shifted_correlation(predicted: Float[np.ndarray, "n"], real: Float[np.ndarray, "n"], frames: int) -> float:
    """Correlation of the real curve with the predicted one ``frames`` later, over the frames that both have."""
    n = len(predicted)
    if abs(frames) >= n:
        return 0.0
    late = slice(max(0, frames), n + min(0, frames))
    early = slice(max(0, -frames), n - max(0, frames))
    return correlation(predicted[late], real[early])


def best_lag(
    predicted: Float[np.ndarray, "n"], real: Float[np.ndarray, "n"], reach: int = REACH
) -> tuple[float, float]:
    """Frames by which the predicted curve comes later than the real one, and the correlation there.

    The frame with the highest correlation is refined by a parabola through it and its neighbours.
    """
    lags = np.arange(-reach, reach + 1)
    scores = np.array([shifted_correlation(predicted, real, int(lag)) for lag in lags])
    peak = int(np.argmax(scores))
    if not 0 < peak < len(lags) - 1:
        return float(lags[peak]), float(scores[peak])
    before, top, after = scores[peak - 1 : peak + 2]
    bend = before - 2 * top + after
    offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(lags[peak] + offset), float(top - 0.25 * (before - after) * offset)


def jitter(curve: Float[np.ndarray, "n"]) -> float:
    """Mean size of the second difference from frame to frame."""
    second = np.abs(np.diff(curve, 2))
    return float(np.nanmean(second)) if np.isfinite(second).any() else float("nan")


def lip_figures(
    opening: Float[np.ndarray, "n"],
    real_opening: Float[np.ndarray, "n"],
    width: Float[np.ndarray, "n"],
    real_width: Float[np.ndarray, "n"],
) -> dict[str, float]:
    """Predicted lips against the real ones.

    Returns:
        ``aperture_r``, ``width_r``: correlations; ``drop``: what a shift of :data:`SHIFT` frames costs the aperture's
        (the better of both directions); ``lag_frames``, ``lag_ms``: by how much the lips come later than the real
        ones, nan below a correlation of :data:`LEAST_R`; ``lag_r``: the correlation there; ``aperture_std_ratio``,
        ``width_std_ratio``: predicted over real standard deviation; ``jitter_ratio``: predicted over real
        :func:`jitter` of the aperture.
    """
    r = correlation(opening, real_opening)
    lag, at_lag = best_lag(opening, real_opening)
    return {
        "aperture_r": r,
        "width_r": correlation(width, real_width),
        "drop": r - max(shifted_correlation(opening, real_opening, k) for k in (-SHIFT, SHIFT)),
        "lag_frames": lag if at_lag >= LEAST_R else float("nan"),
        "lag_ms": 1000.0 * lag / VIDEO_FPS if at_lag >= LEAST_R else float("nan"),
        "lag_r": at_lag,
        "aperture_std_ratio": _ratio(opening, real_opening),
        "width_std_ratio": _ratio(width, real_width),
        "jitter_ratio": jitter(opening) / max(jitter(real_opening), 1e-9),
    }


def code_lip_distance(
    codes: Float[np.ndarray, "n m"], real: Float[np.ndarray, "n m"], motion: FaceMotion, tracking: Tracking
) -> Float[np.ndarray, "n"]:
    """Landmark distance of the lip points that mouth codes stand for, per frame, each frame's mean taken out.

    In pixels of a picture of :data:`~gaussavatar.evaluate.metrics.LANDMARK_SIZE`, at the clip's median distance from
    the camera: what :func:`gaussavatar.evaluate.metrics.lip_distance` measures, without the picture's and the
    detector's own errors.
    """
    lips = motion.mouth_basis[:, list(LIPS), :2]
    lips = lips - lips.mean(axis=1, keepdims=True)
    scale = float(tracking.K[0, 0]) / tracking.size * LANDMARK_SIZE / float(np.median(tracking.t_camera_head[:, 2]))
    return scale * np.linalg.norm(np.tensordot(codes - real, lips, 1), axis=-1).mean(axis=-1)


def _ratio(predicted: Float[np.ndarray, "n"], real: Float[np.ndarray, "n"]) -> float:
    both = np.isfinite(predicted) & np.isfinite(real)
    if not both.any():
        return float("nan")
    return float(predicted[both].std() / max(float(real[both].std()), 1e-9))
