"""One state of an avatar as the 3D Gaussian Splatting ``.ply`` that viewers and editors read; motion is lost.

Fields and their raw units (log scale, logit opacity, wxyz quaternion, spherical-harmonics
colour) are those of the files of Kerbl et al. 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaussavatar.errors import UserError
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated

SH_C0 = 0.28209479177387814
"""Value of the constant spherical harmonic, 1 / (2 sqrt(pi))."""

FIELDS = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *("f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"),
    *("rot_0", "rot_1", "rot_2", "rot_3"),
)


def write(path: Path, states: Iterator[Activated], motion: MotionTrack, *, faintest: float = 0.0) -> int:
    """Write the first state; returns the number of Gaussians.

    Axes are the project's own: x to the image's right, y down, z away from the camera.

    Args:
        path: the file.
        states: all Gaussians of every frame.
        motion: not held by this format.
        faintest: opacity below which a Gaussian is left out.

    Raises:
        UserError: no Gaussian is finite and opaque enough, or the file cannot be written.
    """
    rows = ply_rows(next(states), faintest)
    if len(rows) == 0:
        came = "none that are finite" + (f" and at least {faintest:g} opaque" if faintest else "")
        raise UserError("Gaussians to export", came, "take a smaller faintest" if faintest else "fit the avatar again")
    lines = ["ply", "format binary_little_endian 1.0", "comment synthetic head avatar made by gaussavatar"]
    lines += [f"element vertex {len(rows)}", *(f"property float {name}" for name in FIELDS), "end_header"]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join(lines) + "\n").encode("ascii"))
        file.write(rows.astype("<f4").tobytes())
    return len(rows)


def ply_rows(gaussians: Activated, faintest: float = 0.0) -> np.ndarray:
    """One row of :data:`FIELDS` per Gaussian (n, 17); those that are not finite, or too faint, are left out."""
    means, quats, scales, opacities, colors = (
        getattr(gaussians, name).cpu().numpy() for name in ("means", "quats", "scales", "opacities", "colors")
    )
    opacity = np.clip(opacities, 1e-6, 1 - 1e-6)
    columns = (
        means,
        np.zeros_like(means),
        (colors - 0.5) / SH_C0,
        np.log(opacity / (1 - opacity))[:, None],
        np.log(np.maximum(scales, 1e-9)),
        quats,
    )
    rows = np.concatenate(columns, axis=1)
    return rows[np.isfinite(rows).all(axis=1) & (opacities >= faintest)]
