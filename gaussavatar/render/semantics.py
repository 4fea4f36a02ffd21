"""What a rasterizer is.

Every backend keeps the same semantics, so that an avatar looks the same wherever it runs:

1. Camera point ``p = R_camera_world @ mean + t``; a Gaussian is left out when its ``p_z`` is
   below :data:`NEAR` (or above :data:`FAR`).
2. Quaternions (wxyz) are normalised inside; gradients pass through the normalisation.
3. The 3D covariance ``R S S^T R^T`` goes to the image by the EWA affine approximation
   (Zwicker et al. 2001; "classic" in gsplat): ``J W Sigma W^T J^T`` with the perspective
   Jacobian J at p. In J only, ``p_x / p_z`` is clamped to
   ``[-(c_x / f_x) - 0.15 w / f_x, (w - c_x) / f_x + 0.15 w / f_x]``, and y likewise.
4. :data:`BLUR` is added to the diagonal of the 2D covariance; opacity is not compensated.
5. At the pixel centre (x + 0.5, y + 0.5), ``alpha = min(MAX_ALPHA, opacity * exp(-d^T C d / 2))``
   with C the inverse 2D covariance; contributions with alpha below :data:`MIN_ALPHA` are skipped.
6. Gaussians blend front to back by camera depth ``p_z`` (ties by index):
   ``rgb += T * alpha * color``, ``T *= 1 - alpha``. A pixel stops *before* the Gaussian that
   would bring its T to :data:`MIN_TRANSMITTANCE` or below.
7. The result is premultiplied colour over black, and ``alpha = 1 - T``.

Gradients flow to means, quats, scales, opacities, colors and the top 3x4 of
``T_camera_world``; not to K. Where the alpha clamp is active the alpha is constant.
Gaussians that are left out get zero gradients. Non-finite Gaussians are left out.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gaussavatar.types import Activated, Cameras, Rendered

BLUR = 0.3
"""Variance in square pixels that is added to the 2D covariance's diagonal."""
NEAR = 0.01
"""Nearest camera depth in metres that is drawn."""
FAR = 1e10
"""Farthest camera depth in metres that is drawn."""
MIN_ALPHA = 1.0 / 255.0
"""Contributions below this alpha are skipped."""
MAX_ALPHA = 0.999
"""Alpha of one Gaussian at one pixel is at most this."""
MIN_TRANSMITTANCE = 1e-4
"""A pixel stops before its transmittance falls to this or below."""
JACOBIAN_MARGIN = 0.15
"""How far outside the image, in image sizes, the Jacobian still follows the mean."""


@runtime_checkable
class Rasterizer(Protocol):
    """Draws a batch of Gaussian sets, each with its own camera, with gradients."""

    name: str

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        """Rasterize frame b of ``gaussians`` with camera b, for every b."""
        ...


@runtime_checkable
class UnaskingRasterizer(Rasterizer, Protocol):
    """One that asks its device for nothing, with room set aside instead, so that its work can be recorded."""

    def overflown(self) -> bool:
        """Whether there was ever too little room, so that something is missing; waits for the device."""
        ...


@runtime_checkable
class RecordableRasterizer(Rasterizer, Protocol):
    """One that has such a form."""

    def unasking(self) -> UnaskingRasterizer:
        """That form, with room for what was drawn so far and some more."""
        ...


def check_scene(gaussians: Activated, cameras: Cameras) -> tuple[int, int]:
    """Check the shapes of a scene; return batch size and number of Gaussians.

    Raises:
        ValueError: a shape does not fit the others, or the image is empty.
    """
    batch, count = gaussians.opacities.shape
    expected = {
        "means": (gaussians.means, (batch, count, 3)),
        "quats": (gaussians.quats, (batch, count, 4)),
        "scales": (gaussians.scales, (batch, count, 3)),
        "colors": (gaussians.colors, (batch, count, 3)),
        "T_camera_world": (cameras.T_camera_world, (batch, 4, 4)),
        "K": (cameras.K, (batch, 3, 3)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
    if cameras.width < 1 or cameras.height < 1:
        raise ValueError(f"image of {cameras.width} x {cameras.height} pixels")
    return batch, count
