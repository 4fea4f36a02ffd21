"""One state of an avatar as plain arrays, which every still format is written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from gaussavatar.errors import UserError
from gaussavatar.media.gaussians import SH_C0
from gaussavatar.types import Activated

NAMES = ("means", "quats", "scales", "opacities", "colors")
_LEAST, _THINNEST = 1e-6, 1e-9


@dataclass(frozen=True)
class Cloud:
    """Gaussians of one state: metres, unit wxyz quaternions, standard deviations, opacity and colour in 0..1."""

    means: Float32[np.ndarray, "n 3"]
    quats: Float32[np.ndarray, "n 4"]
    scales: Float32[np.ndarray, "n 3"]
    opacities: Float32[np.ndarray, "n"]
    colors: Float32[np.ndarray, "n 3"]

    def __len__(self) -> int:
        return len(self.means)

    @property
    def log_scales(self) -> Float32[np.ndarray, "n 3"]:
        """Natural logarithms of the standard deviations."""
        return np.log(np.maximum(self.scales, _THINNEST))

    @property
    def logits(self) -> Float32[np.ndarray, "n"]:
        """Logits of the opacities, which stay off 0 and 1."""
        opacity = np.clip(self.opacities, _LEAST, 1 - _LEAST)
        return np.log(opacity / (1 - opacity))

    @property
    def harmonics(self) -> Float32[np.ndarray, "n 3"]:
        """Coefficients of the constant spherical harmonic: colour is a half plus these times :data:`SH_C0`."""
        return (self.colors - 0.5) / SH_C0

    def taken(self, rows: np.ndarray) -> Cloud:
        """The Gaussians of some indices, or of a mask."""
        return Cloud(*(getattr(self, name)[rows] for name in NAMES))

    def upright(self) -> Cloud:
        """Half a turn about x: from y down and z away to the axes of glTF and OpenGL, y up and z to the viewer.

        A Gaussian's own axes turn likewise, which its shape does not see: (w, x, y, z) becomes (w, x, -y, -z).
        """
        flip, turn = np.array([1, -1, -1], np.float32), np.array([1, 1, -1, -1], np.float32)
        return Cloud(self.means * flip, self.quats * turn, self.scales, self.opacities, self.colors)

    def by_place(self) -> Cloud:
        """The same Gaussians along a Morton curve, so that neighbours in a file are neighbours in space."""
        return self.taken(morton_order(self.means))


def first_cloud(states: Iterator[Activated], faintest: float = 0.0) -> Cloud:
    """The first state's Gaussians; those fainter than ``faintest`` are left out.

    Raises:
        UserError: a number is not finite, or nothing is left.
    """
    return cloud_of(next(states), faintest)


def cloud_of(gaussians: Activated, faintest: float = 0.0) -> Cloud:
    """One state's Gaussians; those fainter than ``faintest`` are left out.

    Raises:
        UserError: a number is not finite, or nothing is left.
    """
    cloud = Cloud(*(getattr(gaussians, name).detach().cpu().numpy() for name in NAMES))
    finite = np.isfinite(np.concatenate([getattr(cloud, name).reshape(len(cloud), -1) for name in NAMES], axis=1))
    broken = int((~finite.all(axis=1)).sum())
    if broken:
        came = f"{broken} of {len(cloud)} that are not finite"
        raise UserError("Gaussians to export", came, "fit the avatar again, or ask for another moment")
    cloud = cloud.taken(cloud.opacities >= faintest)
    if not len(cloud):
        do = "take a smaller faintest" if faintest else "fit the avatar again"
        raise UserError("Gaussians to export", f"none that are at least {faintest:g} opaque", do)
    return cloud


def to_byte(values: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n"]:
    """Numbers of 0 to 255 as bytes, rounded; what lies outside is cut."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def morton_order(points: Float32[np.ndarray, "n 3"]) -> Int[np.ndarray, "n"]:
    """Indices that put points along a Morton curve of ten bits an axis."""
    low, high = points.min(axis=0), points.max(axis=0)
    cells = ((points - low) / np.maximum(high - low, 1e-12) * 1023).astype(np.uint32)
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        cells = (cells | (cells << shift)) & mask
    return np.argsort(cells[:, 0] | (cells[:, 1] << 1) | (cells[:, 2] << 2), kind="stable")


def smallest_three(quats: Float32[np.ndarray, "n 4"]) -> tuple[Int[np.ndarray, "n"], Float32[np.ndarray, "n 3"]]:
    """Which component of each unit quaternion is the largest, and the others in order, as of the one with it positive.

    The others are times the square root of two, and so in -1..1.
    """
    largest = np.abs(quats).argmax(axis=1)
    rows = np.arange(len(quats))
    signed = quats * np.where(quats[rows, largest] < 0, -1, 1)[:, None]
    others = signed[np.arange(4) != largest[:, None]].reshape(-1, 3)
    return largest, (others * np.sqrt(2)).clip(-1, 1).astype(np.float32)
