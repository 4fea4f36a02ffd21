"""Tracking and masks against the demo actor, of whom everything is known."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from gaussavatar.bench.machine import load_average
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.fitting.fit import track
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.head.model import HeadModel, landmark_points
from gaussavatar.intervals import true_runs
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.landmarks.indices import MOUTH_CORNERS
from gaussavatar.media.packed import open_frames
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress, QuietProgress
from gaussavatar.segmentation.measure import mask_iou
from gaussavatar.segmentation.records import MASK_CHANNELS, Segmentation, load_segmentation
from gaussavatar.statistics import correlation
from gaussavatar.storage import FrameStore
from gaussavatar.synthetic.actor import ActorTruth, actor_head, make_actor_clip
from gaussavatar.synthetic.motion import Performance
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.head.track import HeadTrack, head_vertices, load_head_track
from gaussavatar.tracking.poses.fit import load_tracking, track_landmarks
from gaussavatar.tracking.poses.photometric import PhotometricConfig, align_to_skin, with_known_focal
from gaussavatar.tracking.poses.rotations import log_rotation, nearest_rotation
from gaussavatar.tracking.poses.skull_skin import landmark_places
from gaussavatar.types import FaceMotion, Landmarks, Tracking

SECONDS, TURN_DEG = 24.0, 30.0
NOD_FROM, NOD_SECONDS, NOD_HZ = 16.0, 4.0, 3.0
_NOD_BAND = (2.0, 4.5)
_APART, _OPEN_PX = 0.02, 100
"""Lip gap (truth) from which lips are apart, and visible pixels of the mouth's inside from which a mouth is open."""


def bench_truth(seed: int = 5, *, progress: Progress | None = None) -> dict[str, float]:
    """Film an actor who speaks, blinks, turns by 30 degrees and nods, prepare the clip as ``track`` does, and compare.

    Args:
        seed: Which actor, words and motion.
        progress: Where to report.

    Returns:
        The figures of :func:`pose_figures` for what ``track`` gives (head model known, identity fitted) and, as
        ``known_*``, for the actor's own head; :func:`face_figures`; :func:`mask_figures`; the machine's ``load``.
    """
    progress = progress or QuietProgress()
    show = Performance(turn_deg=TURN_DEG, nod_from=NOD_FROM, nod_seconds=NOD_SECONDS, nod_hz=NOD_HZ)
    config = load_recipe("default")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with frame_parallel():
            truth = make_actor_clip(folder, SECONDS, seed, 512, masks=True, performance=show, progress=progress)
        request = FitRequest(truth.video, folder, focal=float(truth.K[0, 0]), head="built-in")
        capture = CaptureLayout(track(request, progress))
        landmarks = load_landmarks(capture.landmarks)
        tracking = load_tracking(capture.tracking)
        with frame_parallel():
            known = align_known_head(
                open_frames(capture.frames), landmarks, truth, actor_head(seed), folder / "skin.u8", progress
            )
        figures = pose_figures(tracking, truth)
        figures |= {f"known_{key}": value for key, value in pose_figures(known, truth).items()}
        figures |= face_figures(load_head_track(capture.folder), load_motion(capture.motion), truth)
        assert truth.masks is not None
        figures |= mask_figures(
            load_segmentation(capture.segmentation(config.image_size).folder), FrameStore(truth.masks), truth
        )
    return figures | {"load": load_average()}


def align_known_head(
    frames: FrameStore, landmarks: Landmarks, truth: ActorTruth, head: HeadModel, scratch: Path, progress: Progress
) -> Tracking:
    """Poses of a head whose shape is given: the landmarks' poses brought into its space, then the skin's."""
    tracking = track_landmarks(landmarks, focal_px=float(truth.K[0, 0]))
    config = with_known_focal(PhotometricConfig())
    return align_to_skin(frames, onto_head(tracking, head), head, config, scratch, progress)


def onto_head(tracking: Tracking, head: HeadModel) -> Tracking:
    """The same motion, with the head's own space as head space (a similarity between the two rest faces)."""
    places = landmark_places(head)
    assert head.embedding is not None
    sure = np.flatnonzero(head.embedding.confidence > 0.5)
    source, target = tracking.shape[sure].astype(np.float64), places[sure]
    A, B = source - source.mean(0), target - target.mean(0)
    # Umeyama 1991, eq. 40 to 43: target = scale Q source + offset.
    U, s, Vt = np.linalg.svd(B.T @ A)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
    Q, scale = U * signs @ Vt, (s * signs).sum() / (A**2).sum()
    offset = target.mean(0) - scale * Q @ source.mean(0)
    R = tracking.R_camera_head @ Q.T
    return replace(
        tracking,
        R_camera_head=R.astype(np.float32),
        t_camera_head=(scale * tracking.t_camera_head - R @ offset).astype(np.float32),
        shape=(scale * tracking.shape @ Q.T + offset).astype(np.float32),
        basis=(scale * tracking.basis @ Q.T).astype(np.float32),
    )


def pose_figures(tracking: Tracking, truth: ActorTruth) -> dict[str, float]:
    """Errors of the poses, after the constant offset between the two head spaces (and their scale) is taken out.

    ``rotation_deg`` and ``rotation_p95_deg``; ``frame_to_frame_deg``, the error of the turn from one frame to the next;
    ``plane_mm`` and ``depth_mm`` of the head's place; ``nod_kept``, the share of a 3 Hz nod's amplitude.
    """
    R_true, t_true = truth.R_camera_head.astype(np.float64), truth.t_camera_head.astype(np.float64)
    R, t = tracking.R_camera_head.astype(np.float64), tracking.t_camera_head.astype(np.float64)
    R_offset = nearest_rotation((R_true.swapaxes(1, 2) @ R).mean(0))
    error = np.rad2deg(np.linalg.norm(log_rotation(R @ (R_true @ R_offset).swapaxes(1, 2)), axis=1))
    steps = log_rotation(R[1:] @ R[:-1].swapaxes(1, 2)) - log_rotation(R_true[1:] @ R_true[:-1].swapaxes(1, 2))
    # The tracked origin is a fixed point of the true head, in another unit: scale t = t_true + R_true offset.
    system = np.concatenate([-R_true, t[..., None]], 2)
    solution = np.linalg.lstsq(system.reshape(-1, 4), t_true.ravel(), rcond=None)[0]
    moved = 1e3 * (system @ solution - t_true)
    return {
        "rotation_deg": float(error.mean()),
        "rotation_p95_deg": float(np.percentile(error, 95)),
        "frame_to_frame_deg": float(np.rad2deg(np.linalg.norm(steps, axis=1)).mean()),
        "plane_mm": float(np.linalg.norm(moved[:, :2], axis=1).mean()),
        "depth_mm": float(np.abs(moved[:, 2]).mean()),
        "nod_kept": _nod_kept(R @ R_offset.T, R_true, truth.fps),
    }


def _nod_kept(R: np.ndarray, R_true: np.ndarray, fps: float) -> float:
    from scipy.signal import butter, sosfiltfilt

    sections = butter(2, [edge / (fps / 2) for edge in _NOD_BAND], "band", output="sos")
    part = slice(int((NOD_FROM + 0.6) * fps), int((NOD_FROM + NOD_SECONDS - 0.6) * fps))
    seen, true = (sosfiltfilt(sections, np.arcsin(-matrix[:, 1, 2]))[part] for matrix in (R, R_true))
    # A clip that ends before the actor nods keeps nothing of it.
    return float(seen @ true / (true @ true)) if true.any() else math.nan


def face_figures(track: HeadTrack, motion: FaceMotion, truth: ActorTruth) -> dict[str, float]:
    """Correlations of the fitted mesh's lip gap (``lip_mesh_r``) and the landmarks' with the truth's lips; blinks.

    ``blinks_in_time`` is the share whose middle is within a frame of the truth's, ``blink_depth`` the mean closure at
    the truth's closed frames.
    """
    names = [motion.upper_names.index(name) for name in ("blink_left", "blink_right")]
    shut = motion.upper[:, names].mean(1)
    true_shut = truth.expression[:, truth.expression_names.index("eyeBlinkLeft")]
    found, wanted = closures(shut > 0.5), closures(true_shut > 0.45)
    hits = [np.abs(found - middle).min() <= 1.0 if len(found) else False for middle in wanted]
    closed = true_shut > 0.85
    return {
        "lip_mesh_r": correlation(mesh_lip_opening(track), truth.aperture),
        "lip_landmark_r": correlation(motion.aperture, truth.aperture),
        "blinks": float(len(wanted)),
        "blinks_in_time": float(np.mean(hits)) if hits else 0.0,
        "blink_depth": float(shut[closed].mean()) if closed.any() else 0.0,
    }


def closures(shut: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "c"]:
    """Middle frame of every run of true values."""
    return (true_runs(shut).sum(1) - 1) / 2


def mesh_lip_opening(track: HeadTrack) -> Float[np.ndarray, "n"]:
    """Gap of the fitted head's inner lips over the distance of its outer eye corners, per frame."""
    import torch

    head = track.head
    assert head.embedding is not None
    gaps = []
    for first in range(0, len(track.expression), 200):
        frames: Int[np.ndarray, "f"] = np.arange(first, min(first + 200, len(track.expression)))
        points = landmark_points(torch.from_numpy(head_vertices(track, frames)), head.triangles, head.embedding).numpy()
        gap = np.linalg.norm(points[:, 13] - points[:, 14], axis=1)
        gaps.append(gap / np.linalg.norm(points[:, 33] - points[:, 263], axis=1))
    return np.concatenate(gaps)


def mask_figures(segmentation: Segmentation, true_masks: FrameStore, truth: ActorTruth) -> dict[str, float]:
    """Intersection over union with the actor's coverage, mean over the frames: person, head, face, and the mouth.

    ``iou_mouth`` is over frames whose open mouth shows its inside, ``iou_mouth_thin`` over all whose lips are apart.
    ``lip_opening_r`` is the correlation of the visible opening, the mouth mask's height in its middle, with the
    truth's.
    """
    masks = segmentation.masks()
    channels = {"person": 0, "head": 1, "face": 2, "mouth": 3}
    shares: dict[str, list[float]] = {name: [] for name in (*channels, "mouth_thin")}
    openings = []
    for index in range(segmentation.n_frames):
        own, true = masks.read(index), true_masks.read(index)
        corners = truth.landmarks[index, list(MOUTH_CORNERS), :2]
        pair = own[..., MASK_CHANNELS.index("mouth")], true[..., channels["mouth"]]
        openings.append([mouth_height(mask, corners) for mask in pair])
        for name, channel in channels.items():
            if name == "mouth":
                if truth.aperture[index] >= _APART:
                    shares["mouth_thin"].append(mask_iou(pair[0], pair[1]))
                if np.count_nonzero(pair[1] > 127) < _OPEN_PX:
                    continue
            shares[name].append(mask_iou(own[..., MASK_CHANNELS.index(name)], true[..., channel]))
    figures = {f"iou_{name}": float(np.mean(values)) if values else 1.0 for name, values in shares.items()}
    return figures | {"lip_opening_r": correlation(*np.array(openings).T)}


def mouth_height(mask: UInt8[np.ndarray, "h w"], corners: Float[np.ndarray, "2 2"]) -> float:
    """Height of the mouth's inside over the mouth's width, mean over the middle sixth between the corners."""
    width = float(np.linalg.norm(corners[1] - corners[0]))
    x, y = corners.mean(0)
    low, high = int(x - 0.08 * width), int(x + 0.08 * width) + 1
    rows = slice(max(0, int(y - 0.8 * width)), int(y + 0.8 * width))
    return float(mask[rows, max(0, low) : high].sum(0).mean()) / (255 * width)
