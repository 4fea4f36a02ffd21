"""The avatar at rest as the 3D Gaussian Splatting ``.ply`` that viewers and editors read; motion is lost.

Fields and their raw units (log scale, logit opacity, wxyz quaternion, spherical-harmonics
colour) are those of the files of Kerbl et al. 2023.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated

SH_C0 = 0.28209479177387814
"""Value of the constant spherical harmonic, 1 / (2 sqrt(pi))."""

FIELDS = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *("f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"),
    *("rot_0", "rot_1", "rot_2", "rot_3"),
)


def write_ply(path: Path, avatar: LoadedAvatar) -> int:
    """Write both branches with a closed mouth and resting upper face; returns the number of Gaussians.

    Axes are the project's own: x to the image's right, y down, z away from the camera.

    Raises:
        UserError: no Gaussian is finite, or the file cannot be written.
    """
    at_rest = avatar.activated(avatar.closed.numpy(), np.zeros(len(avatar.upper_names), np.float32))
    rows = ply_rows(at_rest)
    if len(rows) == 0:
        raise UserError("Gaussians to export", "none that are finite", "fit the avatar again")
    lines = ["ply", "format binary_little_endian 1.0", "comment synthetic head avatar made by gaussavatar"]
    lines += [f"element vertex {len(rows)}", *(f"property float {name}" for name in FIELDS), "end_header"]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join(lines) + "\n").encode("ascii"))
        file.write(rows.astype("<f4").tobytes())
    return len(rows)


def ply_rows(gaussians: Activated) -> np.ndarray:
    """One row of :data:`FIELDS` per Gaussian (n, 17); Gaussians that are not finite are left out."""
    means, quats = gaussians.means.numpy(), gaussians.quats.numpy()
    opacity = np.clip(gaussians.opacities.numpy(), 1e-6, 1 - 1e-6)
    columns = (
        means,
        np.zeros_like(means),
        (gaussians.colors.numpy() - 0.5) / SH_C0,
        np.log(opacity / (1 - opacity))[:, None],
        np.log(np.maximum(gaussians.scales.numpy(), 1e-9)),
        quats,
    )
    rows = np.concatenate(columns, axis=1)
    return rows[np.isfinite(rows).all(axis=1)]
