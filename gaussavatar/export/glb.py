"""One state as binary glTF with ``KHR_gaussian_splatting``: points that a viewer which knows the extension draws whole.

Axes are glTF's: y up, the face looks along z. A viewer that does not know the extension shows coloured points.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaussavatar.avatar.mark import Mark
from gaussavatar.export.cloud import Cloud, first_cloud, to_byte
from gaussavatar.export.gltf import Part, glb_bytes
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated

EXTENSION = "KHR_gaussian_splatting"


def write(
    path: Path, states: Iterator[Activated], motion: MotionTrack, *, mark: Mark | None = None, faintest: float = 0.0
) -> int:
    """Write the first state; returns the number of Gaussians.

    Raises:
        UserError: see :func:`gaussavatar.export.ply.write`.
    """
    cloud = first_cloud(states, faintest)
    with atomic_path(path) as temporary:
        temporary.write_bytes(splats_bytes(cloud, mark))
    return len(cloud)


def splats_bytes(cloud: Cloud, mark: Mark | None = None) -> bytes:
    """The whole file."""
    placed = cloud.by_place().upright()
    rgba = np.concatenate([placed.colors, placed.opacities[:, None]], axis=1)
    parts = {
        "POSITION": Part(placed.means, bounds=True),
        "COLOR_0": Part(to_byte(rgba * 255), normalized=True),
        f"{EXTENSION}:ROTATION": Part(placed.quats[:, [1, 2, 3, 0]]),
        f"{EXTENSION}:SCALE": Part(placed.scales),
        f"{EXTENSION}:OPACITY": Part(placed.opacities.clip(0, 1)),
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": Part(placed.harmonics.astype(np.float32)),
    }
    looks = {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "sortingMethod": "cameraDistance",
        "projection": "perspective",
    }
    primitive = {
        "attributes": {name: index for index, name in enumerate(parts)},
        "mode": 0,
        "extensions": {EXTENSION: looks},
    }
    document = {
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "avatar", "mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
    }
    return glb_bytes(document, list(parts.values()), mark)
