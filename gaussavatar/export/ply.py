"""One state of an avatar as the 3D Gaussian Splatting ``.ply`` that viewers and editors read; motion is lost.

Fields and their raw units (log scale, logit opacity, wxyz quaternion, spherical-harmonics
colour) are those of the files of Kerbl et al. 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from gaussavatar.avatar.mark import Mark
from gaussavatar.export.cloud import Cloud, first_cloud
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated

FIELDS = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *("f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"),
    *("rot_0", "rot_1", "rot_2", "rot_3"),
)


def write(
    path: Path, states: Iterator[Activated], motion: MotionTrack, *, mark: Mark | None = None, faintest: float = 0.0
) -> int:
    """Write the first state; returns the number of Gaussians.

    Axes are the project's own: x to the image's right, y down, z away from the camera.

    Args:
        path: the file.
        states: all Gaussians of every frame.
        motion: not held by this format.
        mark: what the file says of itself.
        faintest: opacity below which a Gaussian is left out.

    Raises:
        UserError: a number is not finite, no Gaussian is opaque enough, or the file cannot be written.
    """
    cloud = first_cloud(states, faintest)
    with atomic_path(path) as temporary:
        temporary.write_bytes(ply_bytes(cloud, mark))
    return len(cloud)


def ply_bytes(cloud: Cloud, mark: Mark | None = None) -> bytes:
    """The whole file."""
    lines = ["ply", "format binary_little_endian 1.0", "comment synthetic head avatar made by gaussavatar"]
    lines += [f"comment {mark.about}"] if mark else []
    lines += [f"element vertex {len(cloud)}", *(f"property float {name}" for name in FIELDS), "end_header"]
    return ("\n".join(lines) + "\n").encode("ascii", "backslashreplace") + ply_rows(cloud).astype("<f4").tobytes()


def ply_rows(cloud: Cloud) -> Float32[np.ndarray, "n 17"]:
    """One row of :data:`FIELDS` per Gaussian."""
    columns = (
        cloud.means,
        np.zeros_like(cloud.means),
        cloud.harmonics,
        cloud.logits[:, None],
        cloud.log_scales,
        cloud.quats,
    )
    return np.concatenate(columns, axis=1)
