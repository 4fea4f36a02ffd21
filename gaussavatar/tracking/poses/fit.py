"""Head pose, face shape and expression of a whole clip from its landmarks: one batched robust least-squares fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from gaussavatar.errors import UserError
from gaussavatar.landmarks.detect import usable_frames
from gaussavatar.landmarks.indices import FACE_OVAL, LEFT_IRIS, RIGHT_IRIS, RIGID
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.tracking.poses.procrustes import IPD_METRES, Alignment, align_frames
from gaussavatar.tracking.poses.shape import (
    deformation_basis,
    fix_gauge,
    refine_shape,
    refit_basis,
    unproject,
    without_pose,
)
from gaussavatar.tracking.poses.smoothness import acceleration_weights
from gaussavatar.tracking.poses.solve import Motionless, State, project, step, visibility
from gaussavatar.types import N_LANDMARKS, Landmarks, Tracking

_REFERENCE_SIZE = 512
_MAX_SAMPLE = 2000


@dataclass(frozen=True)
class TrackingConfig:
    """Settings of the fit. Pixels are those of a 512 px picture; accelerations are per frame^2 at 25 fps.

    ``independent_points`` is what a frame's landmarks together are worth: their errors go together (the
    detector's region wobbles), so 200 points do not carry 200 points' information.
    """

    focal_of_size: float = 1.2
    n_modes: int = 20
    sigma_px: float = 1.5
    independent_points: float = 60.0
    sigma_rotation_deg: float = 0.3
    sigma_plane_mm: float = 0.8
    sigma_depth_mm: float = 3.0
    expression_weight: float = 0.3
    code_precision: float = 0.02
    shape_sigma_mm: float = 30.0
    rounds: int = 3
    steps_per_round: int = 2
    last_steps: int = 4
    max_gap: int = 5
    max_rms_px: float = 4.0


def track_landmarks(
    landmarks: Landmarks, config: TrackingConfig | None = None, *, focal_px: float | None = None
) -> Tracking:
    """Fit one shape, a small deformation basis, and every frame's pose and codes to a clip's landmarks.

    Generalised Procrustes gives a start; then rounds of robust Gauss-Newton over all poses and codes at once
    (acceleration prior on the pose, Cauchy weights) alternate with per-landmark solves of the shape and the basis.
    The focal length is held: a face alone does not determine it.

    Args:
        landmarks: Landmarks of every frame.
        config: Settings.
        focal_px: Focal length in pixels of ``landmarks.size``; by default ``config.focal_of_size`` times the size.

    Raises:
        UserError: no frame has a face.
    """
    config = config or TrackingConfig()
    usable = usable_frames(landmarks.valid, config.max_gap)
    if not landmarks.valid.any():
        raise UserError("a face in the clip", "none in any frame", "film one person from the front, closer")
    fitter = _Fitter(landmarks, config, focal_px or config.focal_of_size * landmarks.size)
    fitter.run()
    return fitter.result(landmarks, usable)


def refit_to_poses(
    landmarks: Landmarks, tracking: Tracking, config: TrackingConfig | None = None, rounds: int = 2
) -> Tracking:
    """Shape, basis, codes and residuals anew, with the tracking's poses held as they are.

    What a detector's landmarks do wrongly as the head turns is then in the codes and not in the pose.
    """
    config = config or TrackingConfig()
    focal_px = float(tracking.K[0, 0]) * landmarks.size / tracking.size
    fitter = _Fitter(landmarks, config, focal_px, tracking)
    fitter.refit(rounds)
    return fitter.result(landmarks, tracking.valid)


class _Fitter:
    """The state of one fit; all lengths in metres, pixels of the given landmarks, origin at the image's middle.

    Shape and basis, which every frame shares, are fitted to a bounded ``sample`` of the frames.
    """

    def __init__(
        self, landmarks: Landmarks, config: TrackingConfig, focal_px: float, start: Tracking | None = None
    ) -> None:
        self.config, self.focal_px, self.size = config, focal_px, landmarks.size
        self.valid = landmarks.valid
        self.px = landmarks.size / _REFERENCE_SIZE
        self.points = solved_points()
        known = np.flatnonzero(self.valid)
        self.sample = known[np.linspace(0, len(known) - 1, min(len(known), _MAX_SAMPLE)).astype(int)]
        centred = landmarks.points - np.float32([landmarks.size / 2, landmarks.size / 2, 0])
        self.seen_solved = centred[:, self.points, :2].astype(np.float64)
        self.seen_sample = centred[self.sample, :, :2].astype(np.float64)
        sigmas = (np.deg2rad(config.sigma_rotation_deg), config.sigma_plane_mm * 1e-3, config.sigma_depth_mm * 1e-3)
        self.sigmas = np.repeat(sigmas, (3, 2, 1))
        if start is not None:
            self._take_over(start)
            return
        alignment = align_frames(centred, self.sample)
        self.depth_moves = (alignment.undo(centred[self.sample], self.sample) - alignment.shape)[..., 2]
        self.shape = self.prior = alignment.shape
        self.basis = np.zeros((0, N_LANDMARKS, 3))
        self.state = self._first_state(alignment)
        self.smoothness = acceleration_weights(self.state.R, self.state.t, self.sigmas)

    def _take_over(self, tracking: Tracking) -> None:
        """Begin with a tracking's state; its poses are meant to be held."""
        self.shape = self.prior = tracking.shape.astype(np.float64)
        self.basis = tracking.basis.astype(np.float64)
        self.state = State(
            tracking.R_camera_head.astype(np.float64),
            tracking.t_camera_head.astype(np.float64),
            tracking.codes.astype(np.float64),
        )
        self.smoothness = np.ones((max(0, len(tracking.valid) - 2), 6))

    def _first_state(self, alignment: Alignment) -> State:
        """Poses at which perspective and weak perspective agree at the head's origin."""
        scale = alignment.scale
        t = np.stack([alignment.offset[:, 0] / scale, alignment.offset[:, 1] / scale, self.focal_px / scale], 1)
        return State(alignment.R, t, np.zeros((len(t), 0)))

    def run(self) -> None:
        config = self.config
        self._steps(3)
        self._refine_shape()
        self._steps(1)
        self.basis = self._first_basis()
        self.state.codes = np.zeros((len(self.valid), len(self.basis)))
        for _ in range(config.rounds):
            self._steps(config.steps_per_round)
            self._refine_shape()
            self._refit_basis()
        self._steps(config.last_steps)
        self._rest_at_median()

    def refit(self, rounds: int) -> None:
        """Fit all but the poses."""
        for _ in range(rounds):
            # Poses that are held leave no gauge to fix: whatever the detector shows besides them belongs to the modes.
            state, _ = self._sampled()
            displaced = unproject(self.seen_sample, self.shape[None], state.R, state.t, self.focal_px) - self.shape
            self.basis = deformation_basis(displaced - displaced.mean(0), self.config.n_modes)
            self.state.codes = np.zeros((len(self.valid), len(self.basis)))
            self._steps(3, hold_poses=True)
            self._refine_shape(rescale=False)
        self._steps(2, hold_poses=True)
        self._rest_at_median()

    def _steps(self, count: int, *, hold_poses: bool = False) -> None:
        weights = self.valid[:, None] * visibility(self.shape[self.points], self.state.R, self.state.t)
        for _ in range(count):
            self.state = step(self._model(), self.state, self.seen_solved, weights, hold_poses=hold_poses)

    def _model(self) -> Motionless:
        config = self.config
        importance = np.where(np.isin(self.points, RIGID), 1.0, config.expression_weight if len(self.basis) else 0.0)
        sigma = config.sigma_px * self.px
        return Motionless(
            shape=self.shape[self.points],
            basis=self.basis[:, self.points],
            focal_px=self.focal_px,
            weights=importance * (config.independent_points / (importance.sum() * sigma**2)),
            sigma_px=sigma,
            code_precision=config.code_precision,
            sigmas=self.sigmas,
            smoothness=self.smoothness,
        )

    def _sampled(self) -> tuple[State, Float[np.ndarray, "m 478"]]:
        state = State(self.state.R[self.sample], self.state.t[self.sample], self.state.codes[self.sample])
        return state, visibility(self.shape, state.R, state.t)

    def _refine_shape(self, *, rescale: bool = True) -> None:
        """Refine the mean face; depth and size trade freely, so the metric scale is set again unless poses are held."""
        config = self.config
        precision = (config.sigma_px * self.px / (config.shape_sigma_mm * 1e-3)) ** 2
        state, weights = self._sampled()
        shape = refine_shape(
            self.shape, self.basis, state, self.seen_sample, weights, self.focal_px, self.prior, precision,
            config.sigma_px * self.px,
        )  # fmt: skip
        distance = np.linalg.norm(shape[LEFT_IRIS[0]] - shape[RIGHT_IRIS[0]])
        scale = IPD_METRES / distance if rescale else 1.0
        self.shape, self.basis = shape * scale, self.basis * scale
        self.state = replace(self.state, t=self.state.t * scale)

    def _first_basis(self) -> Float[np.ndarray, "k 478 3"]:
        """Modes of what moves besides the pose: seen across the line of sight, MediaPipe's depth along it."""
        state, _ = self._sampled()
        displaced = unproject(self.seen_sample, self.shape[None], state.R, state.t, self.focal_px) - self.shape
        displaced[..., 2] = self.depth_moves
        return fix_gauge(self.shape, deformation_basis(without_pose(displaced, state), self.config.n_modes))

    def _refit_basis(self) -> None:
        state, _ = self._sampled()
        basis = refit_basis(self.shape, self.basis, state, self.seen_sample, self.focal_px)
        # Codes keep zero mean and unit variance, so that the prior on them keeps its meaning.
        mean, deviation = state.codes.mean(0), np.maximum(state.codes.std(0), 1e-3)
        self.shape = self.shape + np.tensordot(mean, basis, 1)
        self.basis = fix_gauge(self.shape, basis * deviation[:, None, None])
        self.state.codes = (self.state.codes - mean) / deviation

    def _rest_at_median(self) -> None:
        """Let zero codes be the median face: blinks and wide openings, being rare, leave it alone."""
        median = np.median(self.state.codes[self.valid], axis=0)
        self.shape = self.shape + np.tensordot(median, self.basis, 1)
        self.state.codes = self.state.codes - median

    def result(self, landmarks: Landmarks, usable: Bool[np.ndarray, "n"]) -> Tracking:
        K = np.array([[self.focal_px, 0, self.size / 2], [0, self.focal_px, self.size / 2], [0, 0, 1]], np.float32)
        tracking = Tracking(
            R_camera_head=self.state.R.astype(np.float32),
            t_camera_head=self.state.t.astype(np.float32),
            K=K,
            size=self.size,
            shape=self.shape.astype(np.float32),
            basis=self.basis.astype(np.float32),
            codes=self.state.codes.astype(np.float32),
            valid=usable,
            rms=np.zeros(len(usable), np.float32),
        )
        rms = point_rms(landmarks, tracking, np.arange(N_LANDMARKS))
        return replace(tracking, valid=usable & (rms < self.config.max_rms_px * self.px), rms=rms)


def point_rms(landmarks: Landmarks, tracking: Tracking, points: Int[np.ndarray, "p"]) -> Float32[np.ndarray, "n"]:
    """Reprojection error of the given landmarks in every frame, pixels of ``tracking.size``, weighted by visibility."""
    rms = np.empty(len(tracking.rms), np.float32)
    scale = tracking.size / landmarks.size
    shape, basis = tracking.shape[points], tracking.basis[:, points]
    for first in range(0, len(rms), 512):
        part = slice(first, first + 512)
        R, t = tracking.R_camera_head[part], tracking.t_camera_head[part]
        pixels, _ = project(shape + np.tensordot(tracking.codes[part], basis, 1), R, t, float(tracking.K[0, 0]))
        squared = ((landmarks.points[part][:, points, :2] * scale - tracking.K[:2, 2] - pixels) ** 2).sum(-1)
        weights = visibility(shape, R, t)
        rms[part] = np.sqrt((weights * squared).sum(1) / np.maximum(weights.sum(1), 1e-9))
    return rms


def solved_points() -> np.ndarray:
    """Indices of the landmarks that determine pose and codes: the rigid ones and every second other; no irises."""
    others = np.setdiff1d(np.arange(468), RIGID)
    keep = np.union1d(others[::2], np.intersect1d(others, FACE_OVAL))
    irises = (*RIGHT_IRIS, *LEFT_IRIS)
    return np.setdiff1d(np.union1d(keep, RIGID), irises)


def save_tracking(path: Path, tracking: Tracking) -> None:
    """Write a tracking as safetensors, atomically."""
    names = ("R_camera_head", "t_camera_head", "K", "shape", "basis", "codes", "rms")
    arrays = {name: getattr(tracking, name) for name in names}
    write_arrays(path, arrays | {"valid": tracking.valid.astype(np.uint8)}, {"size": str(tracking.size)})


def load_tracking(path: Path) -> Tracking:
    """Read :func:`save_tracking`.

    Raises:
        UserError: the file is missing or damaged.
    """
    arrays, metadata = read_arrays(path)
    try:
        arrays["valid"] = arrays["valid"].astype(bool)
        return Tracking(size=int(metadata["size"]), **arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"a tracking in {path}", f"a damaged file ({error!r})", "delete it and run again") from error
