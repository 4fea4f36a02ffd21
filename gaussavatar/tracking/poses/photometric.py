"""Sub-pixel head poses: every frame's skin is aligned with what the whole clip shows of the skin.

Landmarks of a detector wobble and lag behind turns and nods. The skin over the skull does neither. Its appearance
(one grey value per point of the person's head, light taken out) and all poses are found in turn: the mean over the
frames, then one Gauss-Newton step of every pose towards it (Lucas and Kanade 1981; with the appearance's own slope in
place of the picture's, as in Baker and Matthews 2004, section 3.2). Mouth, lids and brows are left out by
construction, so they cannot move the skull.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gaussavatar.head.model import HeadModel
from gaussavatar.progress import Progress
from gaussavatar.storage import FrameStore
from gaussavatar.tracking.poses.rotations import exp_rotation, log_rotation
from gaussavatar.tracking.poses.skin_images import LEVELS, SkinImages, cameras_of_windows, write_skin_images
from gaussavatar.tracking.poses.skin_sums import SkinView, normal_equations, template_sums
from gaussavatar.tracking.poses.skull_skin import SkullSkin, skull_skin
from gaussavatar.tracking.poses.smoothness import acceleration_weights
from gaussavatar.tracking.poses.solve import solve_chain
from gaussavatar.types import Tracking

LEAST_PX_PER_METRE = 600.0
"""Source pixels per metre of the face (a face of about 115 px) below which skin shows too little to follow: an avatar
fitted to a clip with 560 lost 0.9 dB by it."""

_CHUNK = 64
_LEAST_SPREAD = 0.5
"""Scale of residuals, grey levels, of a skin without any detail."""

_WORSE = 1.02
"""An alignment after which the frames agree by so much less than before is not used."""

_SAMPLED = 48
_LEAST_SEEN = 0.02
"""A point that is seen in less than this share of the frames has no appearance."""


@dataclass(frozen=True)
class PhotometricConfig:
    """Settings of the alignment; ``enabled`` false keeps the landmarks' poses.

    ``bias_*`` are how far the landmarks' poses may be wrong for as long as the head stays where it is, times
    ``known_focal`` where the focal length is known: with a guessed one the perspective is wrong, and poses that were
    free to explain it would go astray (measured on the demo's clip: 1.2 dB). ``sigma_*`` is the acceleration that calm
    heads stay within, per frame^2 at 25 fps. ``independent`` is the share of the skin's points whose errors are their
    own, until the clip itself tells.
    """

    enabled: bool = True
    coarse_iterations: int = 3
    fine_iterations: int = 6
    last_iterations: int = 2
    bias_deg: float = 0.3
    bias_plane_mm: float = 0.5
    bias_depth_mm: float = 3.0
    known_focal: float = 3.0
    sigma_rotation_deg: float = 0.15
    sigma_plane_mm: float = 0.3
    sigma_depth_mm: float = 1.0
    independent: float = 0.2
    workers: int = 2


def with_known_focal(config: PhotometricConfig) -> PhotometricConfig:
    """The settings for a clip whose focal length is known."""
    gain = config.known_focal
    return replace(
        config,
        bias_deg=gain * config.bias_deg,
        bias_plane_mm=gain * config.bias_plane_mm,
        bias_depth_mm=gain * config.bias_depth_mm,
    )


def align_to_skin(
    frames: FrameStore,
    tracking: Tracking,
    head: HeadModel,
    config: PhotometricConfig,
    scratch: Path,
    progress: Progress,
    source_px: float = 1.0,
) -> Tracking:
    """The tracking with poses that keep the skin's appearance constant; all else stays.

    Args:
        frames: the captured pictures, of the tracking's size.
        tracking: poses from landmarks.
        head: the person's head at rest, in the tracking's head space.
        config: settings.
        scratch: a file for the pictures that are compared; the caller removes it.
        progress: where to report.
        source_px: how many captured pixels a pixel of the source became.
    """
    seen_px = tracking.K[0, 0] / float(np.median(tracking.t_camera_head[:, 2])) / source_px
    if not config.enabled or seen_px < LEAST_PX_PER_METRE:
        return tracking
    return align_points(frames, tracking, skull_skin(head), config, scratch, progress, source_px)


def align_points(
    frames: FrameStore,
    tracking: Tracking,
    skin: SkullSkin,
    config: PhotometricConfig,
    scratch: Path,
    progress: Progress,
    source_px: float = 1.0,
) -> Tracking:
    """:func:`align_to_skin` with given points of the skin."""
    if tracking.valid.sum() < 3:
        return tracking
    rounds = config.coarse_iterations + config.fine_iterations + config.last_iterations
    with progress.stage("skin alignment", rounds + 2) as advance:
        images = write_skin_images(frames, tracking, skin, scratch, config.workers, source_px)
        advance(2)
        aligner = _Aligner(images, tracking, skin, config)
        first = aligner.disagreement()
        for level, count in enumerate((config.coarse_iterations, config.fine_iterations)):
            for _ in range(count):
                aligner.step(level)
                advance(1)
        aligner.learn_noise()
        for _ in range(config.last_iterations):
            aligner.step(len(LEVELS) - 1)
            advance(1)
        last = aligner.disagreement()
    if first <= _LEAST_SPREAD or last > _WORSE * first:
        progress.say("skin alignment: the skin shows too little to follow; the landmarks' poses are kept")
        return tracking
    return replace(tracking, R_camera_head=aligner.R.astype(np.float32), t_camera_head=aligner.t.astype(np.float32))


class _Aligner:
    """The state of one alignment: poses of all frames, and how sure a frame's pixels are of its pose."""

    def __init__(self, images: SkinImages, tracking: Tracking, skin: SkullSkin, config: PhotometricConfig) -> None:
        self.images, self.config, self.valid = images, config, tracking.valid
        self.surface = skin.packed()
        self.R, self.t = tracking.R_camera_head.astype(np.float64), tracking.t_camera_head.astype(np.float64)
        self.R_first, self.t_first = self.R.copy(), self.t.copy()
        self.cameras = cameras_of_windows(tracking, images.corners)
        self.sigmas = _six(config.sigma_rotation_deg, config.sigma_plane_mm, config.sigma_depth_mm)
        self.bias = _six(config.bias_deg, config.bias_plane_mm, config.bias_depth_mm) ** -2.0
        self.certainty = config.independent
        self.smoothness = np.full((max(0, len(self.R) - 2), 6), 1e-3)
        self.H = np.zeros((len(self.R), 6, 6))
        self.known: dict[int, np.ndarray] = {}

    def step(self, level: int) -> None:
        """One step of all poses towards the appearance that they give the skin."""
        appearance, sigma = self._appearance(level)
        H, g = self._normal(level, appearance, sigma)
        scale = self.certainty / sigma**2
        # Frames without a face keep to their neighbours.
        H, g = H * (scale * self.valid[:, None, None]), g * (scale * self.valid[:, None])
        self.H = H
        moved = np.concatenate([log_rotation(self.R @ self.R_first.swapaxes(1, 2)), self.t - self.t_first], 1)
        held = self.bias * self.valid[:, None]
        H = H + held[:, :, None] * np.eye(6)
        delta = solve_chain(H, g - held * moved, self.R, self.t, self.sigmas, self.smoothness)
        # The appearance follows wherever all poses go together; the landmarks say where that is.
        delta -= np.median((delta + moved)[self.valid], axis=0)
        self.R, self.t = exp_rotation(delta[:, :3]) @ self.R, self.t + delta[:, 3:]

    def disagreement(self) -> float:
        """How far the frames' finest detail is from the appearance that their poses give it: smaller is better."""
        sums, _ = self._sums(len(LEVELS) - 1, None, 1.0)
        return self._spread(len(LEVELS) - 1, (sums[:, 2] / np.maximum(sums[:, 1], 1e-9)).astype(np.float32))

    def learn_noise(self) -> None:
        """Let the clip say how sure the poses are and where the head truly moves fast.

        A head does not move within single frames, so fourth differences of the unsmoothed poses are noise: its
        variance is theirs over 70, the sum of the squared binomial coefficients.
        """
        if len(self.R) < 12:
            return
        fourth = np.abs(np.diff(np.concatenate([np.cumsum(_turns(self.R), 0), self.t], 1), n=4, axis=0))
        noise = (1.4826 * np.median(fourth, axis=0)) ** 2 / 70
        predicted = np.median(
            np.diagonal(np.linalg.inv(self.H[self.valid] + np.diag(self.bias)), axis1=1, axis2=2), axis=0
        )
        ratio = float(np.median(predicted / np.maximum(noise, 1e-18)))
        self.certainty *= float(np.clip(ratio, 0.02, 5.0))
        self.smoothness = acceleration_weights(self.R, self.t, self.sigmas, window=7)

    def _appearance(self, level: int) -> tuple[Float[np.ndarray, "p 4"], float]:
        """Grey value, slopes and weight of every point from all frames, and the scale of residuals."""
        if level not in self.known:
            sums, _ = self._sums(level, None, 1.0)
            self.known[level] = (sums[:, 2] / np.maximum(sums[:, 1], 1e-9)).astype(np.float32)
        sigma = self._spread(level, self.known[level])
        sums, seen = self._sums(level, self.known[level], sigma)
        total = np.maximum(sums[:, 0], 1e-9)
        value = sums[:, 2] / np.maximum(sums[:, 1], 1e-9)
        self.known[level] = value.astype(np.float32)
        variance = sums[:, 5] / total
        known = sums[:, 0] > _LEAST_SEEN * seen
        floor = 0.3 * float(np.median(variance[known])) if known.any() else 1.0
        # Where muscles or hair move over the skull the value varies, and counts less.
        weight = known / (variance + max(floor, 1e-6))
        weight /= max(float(weight[known].mean()), 1e-12) if known.any() else 1.0
        return np.stack([value, sums[:, 3] / total, sums[:, 4] / total, weight], 1), sigma

    def _spread(self, level: int, mean: np.ndarray) -> float:
        known = np.flatnonzero(self.valid)
        picked = known[np.linspace(0, len(known) - 1, min(len(known), _SAMPLED)).astype(int)]
        residuals = []
        for frame in picked:
            _, values, visible = template_sums(self._view(slice(frame, frame + 1), level), None, 1.0, samples=True)
            assert values is not None and visible is not None
            residuals.append(np.abs(values - mean)[visible > 0.5])
        return max(_LEAST_SPREAD, 1.5 * float(np.median(np.concatenate(residuals))))

    def _sums(self, level: int, mean: np.ndarray | None, sigma: float) -> tuple[Float[np.ndarray, "p 6"], int]:
        def chunk(part: slice) -> np.ndarray:
            used = self.valid[part]
            return template_sums(self._view(part, level, used), mean, sigma)[0] if used.any() else np.zeros((1, 6))

        with ThreadPoolExecutor(self.config.workers) as pool:
            # Sums are added in the order of the chunks, so that every run gives the same poses.
            parts = list(pool.map(chunk, self._chunks()))
        return sum(parts, np.zeros((len(self.surface), 6))), int(self.valid.sum())

    def _normal(
        self, level: int, appearance: np.ndarray, sigma: float
    ) -> tuple[Float[np.ndarray, "n 6 6"], Float[np.ndarray, "n 6"]]:
        def chunk(part: slice) -> tuple[np.ndarray, np.ndarray]:
            return normal_equations(self._view(part, level), appearance.astype(np.float32), sigma)

        with ThreadPoolExecutor(self.config.workers) as pool:
            pieces = list(pool.map(chunk, self._chunks()))
        return np.concatenate([H for H, _ in pieces]), np.concatenate([g for _, g in pieces])

    def _chunks(self) -> list[slice]:
        n = len(self.R)
        return [slice(first, min(first + _CHUNK, n)) for first in range(0, n, _CHUNK)]

    def _view(self, part: slice, level: int, used: np.ndarray | None = None) -> SkinView:
        images = self.images.read(part, level)
        poses = np.concatenate([self.R[part].reshape(-1, 9), self.t[part]], 1).astype(np.float32)
        cameras = self.cameras[part].astype(np.float32)
        if used is not None and not used.all():
            images, poses, cameras = images[used], poses[used], cameras[used]
        return SkinView(images, poses, cameras, self.surface)


def _turns(R: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    return np.concatenate([np.zeros((1, 3)), log_rotation(R[1:] @ R[:-1].swapaxes(1, 2))])


def _six(degrees: float, plane_mm: float, depth_mm: float) -> Float[np.ndarray, "6"]:
    return np.repeat([np.deg2rad(degrees), plane_mm * 1e-3, depth_mm * 1e-3], (3, 2, 1))
