"""How fast a clip is prepared, part by part, and how steadily the head is held."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from gaussavatar.capture.store import load_capture
from gaussavatar.config import load_recipe
from gaussavatar.preparation import Wishes, prepare, usable_landmarks
from gaussavatar.progress import Progress
from gaussavatar.render.threads import frame_parallel
from gaussavatar.storage import peak_memory_mib, read_json
from gaussavatar.tracking.indices import LIPS_INNER, LIPS_OUTER, RIGID
from gaussavatar.tracking.measures import lip_aperture
from gaussavatar.tracking.motion import load_motion
from gaussavatar.tracking.rotations import log_rotation
from gaussavatar.tracking.smoothness import find_jumps
from gaussavatar.tracking.track import TrackingConfig, load_tracking, point_rms, track_landmarks
from gaussavatar.types import VIDEO_FPS, Landmarks, Motion, Tracking

STAGES = ("capture", "landmarks", "tracking", "head", "masks", "quality")
SHAKE_HZ = 6.0
"""Above this frequency a head does not turn by itself: what is left there is the tracker's shaking."""

_JUMP_MARGIN = 6
_FREE = 1e3


def bench_tracking(video: Path, progress: Progress, *, size: int = 512) -> dict[str, float]:
    """Prepare ``video`` in a temporary folder, masks at ``size`` pixels.

    Returns:
        Frames of video per second of each stage (``fps_*``), of landmarks, tracking, head and masks together
        (``fps_tracking_and_masks``), the peak memory in MiB, the figures of :func:`steadiness`, the residual of the
        landmarks' own fit with and without its prior in time (``landmark_fit_rms_px``, ``landmark_fit_free_rms_px``),
        and the machine's load.

    Raises:
        UserError: whatever is wrong with the video.
    """
    config = replace(load_recipe("default"), image_size=size)
    with tempfile.TemporaryDirectory() as name, frame_parallel():
        folder = Path(name) / "capture"
        prepare(video, folder, config, Wishes(), False, progress)
        capture, manifest = load_capture(folder), read_json(folder / "manifest.json")
        landmarks, tracking = usable_landmarks(folder), load_tracking(folder / "tracking.safetensors")
        figures = steadiness(landmarks, tracking, load_motion(folder / "motion.safetensors"))
        figures |= landmark_fits(landmarks, config.tracking, float(tracking.K[0, 0]))
    seconds = {stage: float(manifest[stage]["seconds"]) for stage in STAGES}
    together = sum(seconds[stage] for stage in STAGES[1:5])
    return {
        "frames": float(capture.n_frames),
        **{f"fps_{stage}": capture.n_frames / max(value, 1e-9) for stage, value in seconds.items()},
        "fps_tracking_and_masks": capture.n_frames / max(together, 1e-9),
        "peak_mib": float(peak_memory_mib()),
        **figures,
        "load": os.getloadavg()[0],
    }


def landmark_fits(landmarks: Landmarks, config: TrackingConfig, focal_px: float) -> dict[str, float]:
    """Residuals of all points at 512 px when only landmarks are fitted, with the prior in time and without it."""
    free = replace(config, sigma_rotation_deg=_FREE, sigma_plane_mm=_FREE, sigma_depth_mm=_FREE)
    found = {}
    for name, settings in (("landmark_fit_rms_px", config), ("landmark_fit_free_rms_px", free)):
        tracking = track_landmarks(landmarks, settings, focal_px=focal_px)
        rms = tracking.rms[tracking.valid] * (512 / tracking.size)
        found[name] = float(np.sqrt((rms**2).mean()))
    return found


def steadiness(landmarks: Landmarks, tracking: Tracking, motion: Motion | None = None) -> dict[str, float]:
    """Reprojection errors, and what shakes faster than a head can move; stretches around cuts are left out.

    Returns:
        ``rms_stable_px`` (points that muscles hardly move), ``rms_all_px`` and ``rms_lips_px``, at 512 px;
        ``shake_deg`` and ``shake_mm``, root mean square of rotation and translation above 6 Hz;
        ``pitch_aperture_r``, correlation of pitch with lip aperture above 6 Hz, and with ``motion``
        ``depth_blink_r``, that of depth with blinks; ``invalid`` and ``jumps`` counts.
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
    if motion is not None:
        figures["depth_blink_r"] = _depth_blink(shifted[:, 2], motion, used)
    return {
        **figures,
        "shake_deg": float(np.rad2deg(np.sqrt((shaken**2).sum(1).mean()))),
        "shake_mm": float(1e3 * np.sqrt((shifted**2).sum(1).mean())),
        "pitch_aperture_r": float(np.corrcoef(shaken[:, 0], aperture)[0, 1]),
        "invalid": float((~tracking.valid).sum()),
        "jumps": float(len(jumps)),
    }


def _depth_blink(depth: Float[np.ndarray, "m"], motion: Motion, used: Bool[np.ndarray, "n"]) -> float:
    """Correlation of fast depth with blinks; 0 in a clip without a blink."""
    names = [motion.upper_names.index(name) for name in ("blink_left", "blink_right")]
    shut = _fast(motion.upper[:, names].mean(1).astype(np.float64))[used]
    return float(np.corrcoef(depth, shut)[0, 1]) if shut.std() > 1e-6 else 0.0


def _fast(values: Float[np.ndarray, "n *d"]) -> Float[np.ndarray, "n *d"]:
    from scipy.signal import butter, sosfiltfilt

    sections = butter(3, SHAKE_HZ / (VIDEO_FPS / 2), "high", output="sos")
    return sosfiltfilt(sections, values, axis=0)
