"""How fast a clip is prepared, part by part, and how steadily the head is held."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from gaussavatar.bench.machine import load_average
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import load_capture
from gaussavatar.fitting.fit import track
from gaussavatar.fitting.preparation import PREPARED, usable_landmarks
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.stages import peak_memory_mib
from gaussavatar.head.model import HeadModel
from gaussavatar.landmarks.indices import LIPS_INNER, LIPS_OUTER, RIGID
from gaussavatar.landmarks.measures import lip_aperture
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.statistics import correlation
from gaussavatar.storage import FrameStore, read_json
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.head.track import load_head_track
from gaussavatar.tracking.poses.fit import TrackingConfig, load_tracking, point_rms, track_landmarks
from gaussavatar.tracking.poses.photometric import PhotometricConfig, align_points
from gaussavatar.tracking.poses.rotations import log_rotation
from gaussavatar.tracking.poses.skull_skin import skull_skin
from gaussavatar.tracking.poses.steadiness import fast, shaking
from gaussavatar.types import FaceMotion, Landmarks, Tracking

_FREE = 1e3


def bench_tracking(video: Path, progress: Progress, *, size: int = 512) -> dict[str, float]:
    """Prepare ``video`` in a temporary folder, masks at ``size`` pixels.

    Returns:
        Frames of video per second of each stage (``fps_*``), of landmarks, tracking, head and masks together
        (``fps_tracking_and_masks``), the peak memory in MiB, the figures of :func:`steadiness` and
        :func:`own_shake`, the residual of the landmarks' own fit with and without its prior in time
        (``landmark_fit_rms_px``, ``landmark_fit_free_rms_px``), and the machine's load.

    Raises:
        UserError: whatever is wrong with the video.
    """
    request = FitRequest(video, overrides=(f"image_size={size}",))
    config = load_recipe(request.recipe, request.overrides)
    with tempfile.TemporaryDirectory() as name:
        folder = track(replace(request, out=Path(name)), progress)
        layout = CaptureLayout(folder)
        capture, manifest = load_capture(folder), read_json(layout.manifest)
        landmarks, tracking = usable_landmarks(folder), load_tracking(layout.tracking)
        figures = steadiness(landmarks, tracking, load_motion(layout.motion))
        with frame_parallel():
            figures |= own_shake(capture.frames(), tracking, load_head_track(folder).head, config.photometric, progress)
            figures |= landmark_fits(landmarks, config.tracking, float(tracking.K[0, 0]))
    seconds = {stage: float(manifest[stage]["seconds"]) for stage in PREPARED}
    together = sum(seconds[stage] for stage in ("landmarks", "tracking", "head", "masks"))
    return {
        "frames": float(capture.n_frames),
        **{f"fps_{stage}": capture.n_frames / max(value, 1e-9) for stage, value in seconds.items()},
        "fps_tracking_and_masks": capture.n_frames / max(together, 1e-9),
        "peak_mib": float(peak_memory_mib()),
        **figures,
        "load": load_average(),
    }


def own_shake(
    frames: FrameStore, tracking: Tracking, head: HeadModel, config: PhotometricConfig, progress: Progress
) -> dict[str, float]:
    """How much of the shaking is the tracker's own, in degrees: ``shake_own_deg``.

    The poses are found twice, from either half of the skin's points. What both halves see above 6 Hz is in the
    picture (a shaken camera, frames dropped in a conversion of rates); half of what they do not agree on is the
    tracker's, and less so with all points.
    """
    skin = skull_skin(head)
    with tempfile.TemporaryDirectory() as name:
        halves = [
            align_points(frames, tracking, skin.every_other(half), config, Path(name) / f"skin{half}.u8", progress)
            for half in (0, 1)
        ]
    R = [half.R_camera_head.astype(np.float64) for half in halves]
    apart = fast(log_rotation(R[0] @ R[1].swapaxes(1, 2)))[tracking.valid]
    # Each half has twice the variance of all points together, and their difference twice that again.
    return {"shake_own_deg": float(np.rad2deg(np.sqrt((apart**2).sum(1).mean()))) / 2}


def landmark_fits(landmarks: Landmarks, config: TrackingConfig, focal_px: float) -> dict[str, float]:
    """Residuals of all points at 512 px when only landmarks are fitted, with the prior in time and without it."""
    free = replace(config, sigma_rotation_deg=_FREE, sigma_plane_mm=_FREE, sigma_depth_mm=_FREE)
    found = {}
    for name, settings in (("landmark_fit_rms_px", config), ("landmark_fit_free_rms_px", free)):
        tracking = track_landmarks(landmarks, settings, focal_px=focal_px)
        rms = tracking.rms[tracking.valid] * (512 / tracking.size)
        found[name] = float(np.sqrt((rms**2).mean()))
    return found


def steadiness(landmarks: Landmarks, tracking: Tracking, motion: FaceMotion | None = None) -> dict[str, float]:
    """Reprojection errors, and what shakes faster than a head can move; stretches around cuts are left out.

    Returns:
        ``rms_stable_px`` (points that muscles hardly move), ``rms_all_px`` and ``rms_lips_px``, at 512 px;
        ``shake_deg`` and ``shake_mm``, root mean square of rotation and translation above 6 Hz;
        ``pitch_aperture_r``, correlation of pitch with lip aperture above 6 Hz, and with ``motion``
        ``depth_blink_r``, that of depth with blinks; ``invalid`` and ``jumps`` counts.
    """
    shaken = shaking(tracking)
    used = shaken.used
    scale = 512 / tracking.size
    groups = {"stable": RIGID, "all": range(468), "lips": (*LIPS_OUTER, *LIPS_INNER)}
    figures = {
        f"rms_{name}_px": float(np.sqrt((point_rms(landmarks, tracking, np.array(points))[used] ** 2).mean())) * scale
        for name, points in groups.items()
    }
    if motion is not None:
        names = [motion.upper_names.index(name) for name in ("blink_left", "blink_right")]
        shut = fast(motion.upper[:, names].mean(1).astype(np.float64))[used]
        figures["depth_blink_r"] = correlation(shaken.moved[:, 2], shut)
    aperture = fast(lip_aperture(landmarks.points).astype(np.float64))[used]
    return {
        **figures,
        "shake_deg": shaken.degrees,
        "shake_mm": shaken.millimetres,
        "pitch_aperture_r": correlation(shaken.turned[:, 0], aperture),
        "invalid": float((~tracking.valid).sum()),
        "jumps": float(shaken.jumps),
    }
