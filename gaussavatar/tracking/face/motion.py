"""What moves in the face besides the head: mouth codes and named upper-face channels of every frame.

The pose is taken out by back-projecting every landmark to the depth that the fitted model gives it. That
keeps the landmark exactly where the detector saw it, so lips and blinks stay as sharp as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.easing import smoothstep
from gaussavatar.errors import UserError
from gaussavatar.landmarks.indices import LIPS_INNER, LIPS_OUTER, RIGID
from gaussavatar.landmarks.measures import lip_aperture, lip_width
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.tracking.face.upper_face import CHANNEL_NAMES, upper_channels
from gaussavatar.tracking.poses.shape import principal_components, unproject
from gaussavatar.types import N_LANDMARKS, FaceMotion, Landmarks, Tracking

"""The file beside a motion that holds its appearance codes."""

_MOUTH_TOP_METRES, _MOUTH_FADE_METRES = 0.004, 0.022
"""The mouth moves what lies below the first height (head space, y down), fading in over the second."""


@dataclass(frozen=True)
class MotionConfig:
    """Number of mouth modes, and what a lip point counts against one of chin or cheek in choosing them."""

    n_mouth: int = 12
    lip_weight: float = 3.0


def head_space_landmarks(landmarks: Landmarks, tracking: Tracking) -> Float[np.ndarray, "n 478 3"]:
    """Landmarks of every frame in head space (metres), pose taken out, at the fitted model's depth."""
    points = np.empty((len(landmarks.points), N_LANDMARKS, 3), np.float32)
    middle = tracking.K[:2, 2] * (landmarks.size / tracking.size)
    focal = float(tracking.K[0, 0]) * landmarks.size / tracking.size
    for first in range(0, len(points), 1024):
        part = slice(first, first + 1024)
        model = tracking.shape + np.tensordot(tracking.codes[part], tracking.basis, 1)
        seen = landmarks.points[part, :, :2] - middle
        points[part] = unproject(seen, model, tracking.R_camera_head[part], tracking.t_camera_head[part], focal)
    return points


def extract_motion(landmarks: Landmarks, tracking: Tracking, config: MotionConfig | None = None) -> FaceMotion:
    """Read the face's motion from landmarks and tracking; the rest face is ``tracking.shape``.

    Mouth codes are principal components of the lower face's displacement, weighted to the lips; upper channels
    are those of :mod:`gaussavatar.tracking.face.upper_face`. Both bases are least-squares regressions of the
    displacement on codes and channels together, so that neither carries the other's motion.

    Raises:
        UserError: fewer frames with a usable face than modes.
    """
    config = config or MotionConfig()
    used = tracking.valid
    if used.sum() < 2 * config.n_mouth:
        raise UserError(
            f"at least {2 * config.n_mouth} frames with a clear face", str(int(used.sum())), "give a longer video"
        )
    points = head_space_landmarks(landmarks, tracking)
    displaced = points - tracking.shape
    region = mouth_region(tracking.shape)
    codes = _mouth_codes(displaced, region, used, config)
    upper = upper_channels(points, used)
    mouth_basis, upper_basis = _regress(displaced, codes, upper, used)
    return FaceMotion(
        mouth_codes=codes,
        mouth_basis=(mouth_basis * region[:, None]).astype(np.float32),
        upper=upper,
        upper_basis=(upper_basis * (1 - region)[:, None]).astype(np.float32),
        upper_names=CHANNEL_NAMES,
        aperture=lip_aperture(points).astype(np.float32),
        width=lip_width(points).astype(np.float32),
    )


def mouth_region(shape: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478"]:
    """How far the mouth moves a landmark: 1 on lips, chin and lower cheeks, 0 above, smooth between, 0 on the nose."""
    region = smoothstep(np.clip((shape[:, 1] - _MOUTH_TOP_METRES) / _MOUTH_FADE_METRES, 0.0, 1.0))
    region[list(RIGID)] = 0.0
    return region


def _mouth_codes(
    displaced: np.ndarray, region: np.ndarray, used: np.ndarray, config: MotionConfig
) -> Float[np.ndarray, "n m"]:
    importance = region.copy()
    importance[[*LIPS_OUTER, *LIPS_INNER]] *= config.lip_weight
    points = np.flatnonzero(importance > 0.05)
    flat = (displaced[:, points] * importance[points, None]).reshape(len(displaced), -1).astype(np.float32)
    _, vectors = principal_components(flat[used], config.n_mouth)
    codes = flat @ vectors
    return (codes / np.maximum(codes[used].std(0), 1e-9)).astype(np.float32)


def _regress(
    displaced: np.ndarray, codes: np.ndarray, upper: np.ndarray, used: np.ndarray
) -> tuple[Float[np.ndarray, "m 478 3"], Float[np.ndarray, "u 478 3"]]:
    """Least squares of the displacement on codes and channels; the ridge keeps channels that never move at zero."""
    features = np.concatenate([codes, upper], 1)[used].astype(np.float64)
    gram = features.T @ features + 1e-3 * len(features) * np.eye(features.shape[1])
    flat = displaced[used].reshape(len(features), -1)
    basis = np.linalg.solve(gram, features.T @ flat).reshape(-1, N_LANDMARKS, 3)
    return basis[: codes.shape[1]], basis[codes.shape[1] :]


def save_motion(path: Path, motion: FaceMotion) -> None:
    """Write a motion as safetensors, atomically."""
    names = ("mouth_codes", "mouth_basis", "upper", "upper_basis", "aperture", "width")
    write_arrays(path, {name: getattr(motion, name) for name in names}, {"upper_names": ",".join(motion.upper_names)})


def load_motion(path: Path) -> FaceMotion:
    """Read :func:`save_motion`, with the appearance codes of the file beside it where there is one.

    Appearance codes (see ``tracking.appearance``) come after the outline's; they move no landmark, so their basis is
    zero.

    Raises:
        UserError: the file is missing or damaged.
    """
    arrays, metadata = read_arrays(path)
    try:
        appearance = CaptureLayout(path.parent).appearance
        if appearance.exists():
            codes = read_arrays(appearance)[0]["codes"]
            still = np.zeros((codes.shape[1], N_LANDMARKS, 3), np.float32)
            arrays["mouth_codes"] = np.concatenate([arrays["mouth_codes"], codes], axis=1)
            arrays["mouth_basis"] = np.concatenate([arrays["mouth_basis"], still])
        return FaceMotion(upper_names=tuple(metadata["upper_names"].split(",")), **arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"a motion in {path}", f"a damaged file ({error!r})", "delete it and run again") from error
