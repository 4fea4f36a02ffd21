"""How fast a clip is tracked, part by part, and how steadily the head is held."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from gaussavatar.capture.video import CaptureConfig, capture_video
from gaussavatar.progress import Progress, QuietProgress
from gaussavatar.tracking.indices import LIPS_INNER, LIPS_OUTER, RIGID
from gaussavatar.tracking.landmarks import detect_landmarks
from gaussavatar.tracking.measures import lip_aperture
from gaussavatar.tracking.motion import MotionConfig, extract_motion
from gaussavatar.tracking.rotations import log_rotation
from gaussavatar.tracking.smoothness import find_jumps
from gaussavatar.tracking.track import TrackingConfig, point_rms, track_landmarks
from gaussavatar.types import VIDEO_FPS, Landmarks, Tracking

SHAKE_HZ = 6.0
"""Above this frequency a head does not turn by itself: what is left there is the tracker's shaking."""

_JUMP_MARGIN = 6

T = TypeVar("T")


def bench_tracking(
    video: Path,
    *,
    size: int = 512,
    tracking: TrackingConfig | None = None,
    motion: MotionConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Capture and track ``video`` in a temporary folder.

    Args:
        video: The clip.
        size: Side of the captured pictures, pixels.
        tracking: Settings of the fit.
        motion: Settings of the motion.
        progress: Where to report.

    Returns:
        Frames of video per second of every part (``fps_*``; ``fps_tracking`` is landmarks, fit and motion
        together, ``fps_all`` has the capture too) and the figures of :func:`steadiness`.

    Raises:
        UserError: as :func:`gaussavatar.capture.video.capture_video`.
    """
    progress = progress or QuietProgress()
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - started
        return result

    with tempfile.TemporaryDirectory() as folder:
        config = CaptureConfig(size=size)
        capture = timed(
            "capture", lambda: capture_video(video, Path(folder) / "capture", config, progress, need_audio=False)
        )
        frames, n = capture.frames(), capture.n_frames
        images = (frames.read(index) for index in range(n))
        landmarks = timed("landmarks", lambda: detect_landmarks(images, size, n_total=n, progress=progress))
        fitted = timed("fit", lambda: track_landmarks(landmarks, tracking, focal_px=capture.focal_px()))
        timed("motion", lambda: extract_motion(landmarks, fitted, motion))
    figures = {f"fps_{name}": n / spent for name, spent in seconds.items()}
    figures["fps_tracking"] = n / (seconds["landmarks"] + seconds["fit"] + seconds["motion"])
    figures["fps_all"] = n / sum(seconds.values())
    return {"frames": float(n), **figures, **steadiness(landmarks, fitted)}


def steadiness(landmarks: Landmarks, tracking: Tracking) -> dict[str, float]:
    """Reprojection errors, and what shakes faster than a head can move; stretches around cuts are left out.

    Returns:
        ``rms_stable_px`` (points that muscles hardly move), ``rms_all_px`` and ``rms_lips_px``, at 512 px;
        ``shake_deg`` and ``shake_mm``, root mean square of rotation and translation above 6 Hz;
        ``pitch_aperture_r``, correlation of pitch with lip aperture above 6 Hz; ``invalid`` and ``jumps`` counts.
    """
    R, t = tracking.R_camera_head.astype(np.float64), tracking.t_camera_head.astype(np.float64)
    jumps = find_jumps(R, t)
    used = tracking.valid.copy()
    for jump in jumps:
        used[max(0, jump - _JUMP_MARGIN) : jump + _JUMP_MARGIN] = False
    turns = np.cumsum(np.concatenate([np.zeros((1, 3)), log_rotation(R[1:] @ R[:-1].swapaxes(1, 2))]), axis=0)
    shaken, shifted = _fast(turns)[used], _fast(t)[used]
    aperture = _fast(lip_aperture(landmarks.points).astype(np.float64))[used]
    scale = 512 / tracking.size
    groups = {"stable": RIGID, "all": range(468), "lips": (*LIPS_OUTER, *LIPS_INNER)}
    figures = {
        f"rms_{name}_px": float(np.sqrt((point_rms(landmarks, tracking, np.array(points))[used] ** 2).mean())) * scale
        for name, points in groups.items()
    }
    return {
        **figures,
        "shake_deg": float(np.rad2deg(np.sqrt((shaken**2).sum(1).mean()))),
        "shake_mm": float(1e3 * np.sqrt((shifted**2).sum(1).mean())),
        "pitch_aperture_r": float(np.corrcoef(shaken[:, 0], aperture)[0, 1]),
        "invalid": float((~tracking.valid).sum()),
        "jumps": float(len(jumps)),
    }


def _fast(values: Float[np.ndarray, "n *d"]) -> Float[np.ndarray, "n *d"]:
    from scipy.signal import butter, sosfiltfilt

    sections = butter(3, SHAKE_HZ / (VIDEO_FPS / 2), "high", output="sos")
    return sosfiltfilt(sections, values, axis=0)
