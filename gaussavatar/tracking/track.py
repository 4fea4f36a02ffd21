"""Head pose, face shape and expression of a whole clip from its landmarks: one batched robust least-squares fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from gaussavatar.errors import UserError
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.tracking.indices import FACE_OVAL, LEFT_IRIS, RIGHT_IRIS, RIGID
from gaussavatar.tracking.landmarks import usable_frames
from gaussavatar.tracking.procrustes import IPD_METRES, Alignment, align_frames
from gaussavatar.tracking.shape import deformation_basis, fix_gauge, refine_shape, refit_basis
from gaussavatar.tracking.solve import Motionless, State, project, step, visibility
from gaussavatar.types import N_LANDMARKS, Landmarks, Tracking

_REFERENCE_SIZE = 512


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
    return fitter.result(usable)


class _Fitter:
    """The state of one fit; all lengths in metres, pixels of the given landmarks, origin at the image's middle."""

    def __init__(self, landmarks: Landmarks, config: TrackingConfig, focal_px: float) -> None:
        self.config, self.focal_px, self.size = config, focal_px, landmarks.size
        self.valid = landmarks.valid
        self.px = landmarks.size / _REFERENCE_SIZE
        centred = landmarks.points - np.float32([landmarks.size / 2, landmarks.size / 2, 0])
        self.seen = centred[..., :2].astype(np.float64)
        self.points = solved_points()
        alignment = align_frames(centred[self.valid])
        self.shape = self.prior = alignment.shape
        self.state = self._first_state(alignment)
        weights = self.valid.astype(np.float64)
        displaced = np.zeros((len(self.valid), N_LANDMARKS, 3))
        displaced[self.valid] = alignment.aligned - alignment.shape
        self.displaced = displaced
        self.frame_weights = weights
        self.basis = np.zeros((0, N_LANDMARKS, 3))

    def _first_state(self, alignment: Alignment) -> State:
        """Poses at which perspective and weak perspective agree at the head's origin, held over missing frames."""
        depth = self.focal_px / alignment.scale
        t = np.concatenate([alignment.offset[:, :2] / alignment.scale[:, None], depth[:, None]], 1)
        known = np.flatnonzero(self.valid)
        nearest = np.abs(np.arange(len(self.valid))[:, None] - known).argmin(1) if len(known) < len(self.valid) else ...
        return State(alignment.R[nearest], t[nearest], np.zeros((len(self.valid), 0)))

    def run(self) -> None:
        config = self.config
        self._steps(3)
        self._refine_shape()
        self._steps(1)
        self.basis, codes = deformation_basis(self.displaced, self.frame_weights, config.n_modes)
        self.basis = fix_gauge(self.shape, self.basis)
        self.state.codes = codes
        for _ in range(config.rounds):
            self._steps(config.steps_per_round)
            self._refine_shape()
            self._refit_basis()
        self._steps(config.last_steps)
        self._rest_at_median()

    def _rest_at_median(self) -> None:
        """Let zero codes be the median face: blinks and wide openings, being rare, leave it alone."""
        median = np.median(self.state.codes[self.frame_weights > 0], axis=0)
        self.shape = self.shape + np.tensordot(median, self.basis, 1)
        self.state.codes = self.state.codes - median

    def _steps(self, count: int) -> None:
        for _ in range(count):
            weights = self.frame_weights[:, None] * visibility(self.shape[self.points], self.state.R, self.state.t)
            self.state, _ = step(self._model(), self.state, self.seen[:, self.points], weights)

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
            sigma_rotation=np.deg2rad(config.sigma_rotation_deg),
            sigma_plane=config.sigma_plane_mm * 1e-3,
            sigma_depth=config.sigma_depth_mm * 1e-3,
        )

    def _all_weights(self) -> Float[np.ndarray, "n 478"]:
        return self.frame_weights[:, None] * visibility(self.shape, self.state.R, self.state.t)

    def _refine_shape(self) -> None:
        config = self.config
        precision = (config.sigma_px * self.px / (config.shape_sigma_mm * 1e-3)) ** 2
        self.shape = refine_shape(
            self.shape, self.basis, self.state, self.seen, self._all_weights(), self.focal_px, self.prior, precision,
            config.sigma_px * self.px,
        )  # fmt: skip
        self._keep_gauge()

    def _keep_gauge(self) -> None:
        """Poses were held, so the head's axes stay; only the scale (depth and size trade freely) is set again."""
        scale = IPD_METRES / np.linalg.norm(self.shape[LEFT_IRIS[0]] - self.shape[RIGHT_IRIS[0]])
        self.shape = self.shape * scale
        self.basis = self.basis * scale
        self.state = replace(self.state, t=self.state.t * scale)

    def _refit_basis(self) -> None:
        basis = refit_basis(
            self.shape, self.basis, self.state, self.seen, self._all_weights(), self.focal_px, ridge=0.05
        )
        # Codes keep zero mean and unit variance, so that the prior on them keeps its meaning.
        used = self.state.codes[self.frame_weights > 0]
        mean, deviation = used.mean(0), np.maximum(used.std(0), 1e-3)
        self.shape = self.shape + np.tensordot(mean, basis, 1)
        self.basis = fix_gauge(self.shape, basis * deviation[:, None, None])
        self.state.codes = (self.state.codes - mean) / deviation

    def result(self, usable: Bool[np.ndarray, "n"]) -> Tracking:
        pixels, _ = project(
            self.shape + np.tensordot(self.state.codes, self.basis, 1), self.state.R, self.state.t, self.focal_px
        )
        weights = visibility(self.shape, self.state.R, self.state.t)
        squared = ((self.seen - pixels) ** 2).sum(-1)
        rms = np.sqrt((weights * squared).sum(1) / np.maximum(weights.sum(1), 1e-9))
        K = np.array([[self.focal_px, 0, self.size / 2], [0, self.focal_px, self.size / 2], [0, 0, 1]], np.float32)
        return Tracking(
            R_camera_head=self.state.R.astype(np.float32),
            t_camera_head=self.state.t.astype(np.float32),
            K=K,
            size=self.size,
            shape=self.shape.astype(np.float32),
            basis=self.basis.astype(np.float32),
            codes=self.state.codes.astype(np.float32),
            valid=usable & (rms < self.config.max_rms_px * self.px),
            rms=rms.astype(np.float32),
        )


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
