"""The records that travel between the stages. Shapes and units are part of the type.

Conventions: OpenCV cameras, world-to-camera ``T_camera_world``, metres, seconds,
radians; world is the head's canonical space (x to the image's right, y down, z away
from the camera, for a head that faces the camera); quaternions are wxyz.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32
from torch import Tensor

N_LANDMARKS = 478
"""Points of MediaPipe's face mesh with irises (468 + 2 x 5)."""

VIDEO_FPS = 25
"""Frames per second of everything after the capture stage."""

ANALYSIS_RATE = 16_000
"""Samples per second of the mono audio that the features are computed from."""


@dataclass(frozen=True)
class Waveform:
    """Mono sound, samples in -1..1.

    ``file`` is where it was read from, and ``start`` the second of that file with which the samples begin: some
    features lie in a file beside the sound.
    """

    samples: Float32[np.ndarray, "t"]
    rate: int
    file: Path | None = None
    start: float = 0.0

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class Landmarks:
    """Face landmarks of every frame in pixels of a square image of side ``size``.

    ``points[..., :2]`` are pixels (pixel centres at +0.5), ``points[..., 2]`` is
    MediaPipe's relative depth scaled to pixels (smaller is nearer). Frames where
    ``valid`` is false hold interpolated or zero points.
    """

    points: Float32[np.ndarray, "n 478 3"]
    valid: Bool[np.ndarray, "n"]
    size: int


@dataclass(frozen=True)
class Tracking:
    """Rigid head pose and landmark geometry of every frame.

    A head-space point of frame i is ``shape + codes[i] @ basis`` (metres); its camera
    point is ``R_camera_head[i] @ x + t_camera_head[i]``; ``K`` projects it to pixels of
    a square image of side ``size``. ``rms`` is the reprojection error in those pixels.
    """

    R_camera_head: Float32[np.ndarray, "n 3 3"]
    t_camera_head: Float32[np.ndarray, "n 3"]
    K: Float32[np.ndarray, "3 3"]
    size: int
    shape: Float32[np.ndarray, "478 3"]
    basis: Float32[np.ndarray, "k 478 3"]
    codes: Float32[np.ndarray, "n k"]
    valid: Bool[np.ndarray, "n"]
    rms: Float32[np.ndarray, "n"]


@dataclass(frozen=True)
class FaceMotion:
    """What moves in the face besides the head, per frame, pose taken out.

    ``mouth_codes @ mouth_basis`` is the displacement (metres, head space) of the
    landmarks that the mouth moves, ``upper @ upper_basis`` that of lids and brows;
    both are zero at the clip's rest face. Mouth codes have unit standard deviation
    over the clip. ``upper`` holds the named channels, calibrated so that 0 is rest and
    1 is this person's strong movement. ``aperture`` and ``width`` are the inner-lip
    gap and mouth width over the distance of the outer eye corners.
    """

    mouth_codes: Float32[np.ndarray, "n m"]
    mouth_basis: Float32[np.ndarray, "m 478 3"]
    upper: Float32[np.ndarray, "n u"]
    upper_basis: Float32[np.ndarray, "u 478 3"]
    upper_names: tuple[str, ...]
    aperture: Float32[np.ndarray, "n"]
    width: Float32[np.ndarray, "n"]


@dataclass(frozen=True)
class Camera:
    """One pinhole camera: ``T_camera_world`` maps world to camera in metres, ``K`` to pixels of a picture that size."""

    T_camera_world: Float32[np.ndarray, "4 4"]
    K: Float32[np.ndarray, "3 3"]
    width: int
    height: int


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras of one image size."""

    T_camera_world: Float[Tensor, "b 4 4"]
    K: Float[Tensor, "b 3 3"]
    width: int
    height: int


@dataclass(frozen=True)
class Activated:
    """A batch of Gaussian sets, ready to be rasterized.

    ``quats`` are unit wxyz, ``scales`` are standard deviations in metres, opacities
    and colors are in 0..1. Every tensor has the batch dimension, which may be expanded;
    a single set that viewers and exports take has none.
    """

    means: Float[Tensor, "*b n 3"]
    quats: Float[Tensor, "*b n 4"]
    scales: Float[Tensor, "*b n 3"]
    opacities: Float[Tensor, "*b n"]
    colors: Float[Tensor, "*b n 3"]


@dataclass(frozen=True)
class Rendered:
    """Rasterized images: colour premultiplied by alpha over black, and alpha, 0..1."""

    rgb: Float[Tensor, "b h w 3"]
    alpha: Float[Tensor, "b h w"]
