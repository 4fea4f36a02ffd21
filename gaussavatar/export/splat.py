"""One state as ``.splat``, the 32 bytes per Gaussian of antimatter15's viewer.

Position and standard deviations as three 32-bit floats each, colour and opacity as four bytes, and the quaternion
(w, x, y, z) as four bytes of 128 + 128 q. Axes as in the ``.ply``. Large opaque Gaussians come first, as in the
files of antimatter15's own converter, so that a viewer that is still loading shows the most of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaussavatar.export.cloud import Cloud, first_cloud, to_byte
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])


def write(path: Path, states: Iterator[Activated], motion: MotionTrack, *, faintest: float = 0.0) -> int:
    """Write the first state; returns the number of Gaussians.

    Raises:
        UserError: see :func:`gaussavatar.export.ply.write`.
    """
    cloud = first_cloud(states, faintest)
    with atomic_path(path) as temporary:
        temporary.write_bytes(splat_bytes(cloud))
    return len(cloud)


def splat_bytes(cloud: Cloud) -> bytes:
    """The whole file."""
    cloud = cloud.taken(np.argsort(-cloud.scales.prod(axis=1) * cloud.opacities, kind="stable"))
    rows = np.empty(len(cloud), ROW)
    rows["mean"], rows["scale"] = cloud.means, cloud.scales
    rows["rgba"] = to_byte(np.concatenate([cloud.colors, cloud.opacities[:, None]], axis=1) * 255)
    rows["quat"] = to_byte(cloud.quats * 128 + 128)
    return rows.tobytes()
