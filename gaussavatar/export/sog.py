"""One state as ``.sog``, version 2: PlayCanvas' packed format, lossless pictures whose pixels are Gaussians, in a zip.

Specification: developer.playcanvas.com, "The SOG Format". Positions have 16 bits an axis on a logarithmic scale, in two
pictures; log scales and colours are indices into 256 levels, here even steps between the least and the largest;
quaternions are the three smallest components. Axes as in the ``.ply``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from gaussavatar import __version__
from gaussavatar.avatar.mark import Mark
from gaussavatar.export.cloud import Cloud, first_cloud, smallest_three, to_byte
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated

LEVELS = 256


def write(
    path: Path, states: Iterator[Activated], motion: MotionTrack, *, mark: Mark | None = None, faintest: float = 0.0
) -> int:
    """Write the first state; returns the number of Gaussians.

    Raises:
        UserError: see :func:`gaussavatar.export.ply.write`.
    """
    cloud = first_cloud(states, faintest)
    pictures, meta = packed(cloud.by_place(), mark)
    # In memory: a zip file that meets a full disk complains once more when it is forgotten.
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        # A fixed date, so that the same avatar gives the same bytes.
        for name, data in {"meta.json": json.dumps(meta).encode(), **pictures}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    with atomic_path(path) as temporary:
        temporary.write_bytes(whole.getbuffer())
    return len(cloud)


def packed(cloud: Cloud, mark: Mark | None = None) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The pictures by name, as WebP, and what ``meta.json`` says of them."""
    places = np.sign(cloud.means) * np.log1p(np.abs(cloud.means.astype(np.float64)))
    low, high = places.min(axis=0), places.max(axis=0)
    fine = np.round((places - low) / np.maximum(high - low, 1e-12) * 65535).astype(np.uint16)
    largest, others = smallest_three(cloud.quats)
    turns = np.concatenate([(others + 1) * 127.5, 252.0 + largest[:, None]], axis=1)
    scales, scale_levels = levelled(cloud.log_scales)
    colors, color_levels = levelled(cloud.harmonics)
    opacity = to_byte(cloud.opacities * 255)
    pictures = {
        "means_l.webp": picture((fine & 255).astype(np.uint8)),
        "means_u.webp": picture((fine >> 8).astype(np.uint8)),
        "scales.webp": picture(scales),
        "quats.webp": picture(to_byte(turns)),
        "sh0.webp": picture(np.concatenate([colors, opacity[:, None]], axis=1)),
    }
    meta = {
        "version": 2,
        "asset": {"generator": f"gaussavatar {__version__}", "synthetic": True, **(mark.plain() if mark else {})},
        "count": len(cloud),
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scale_levels, "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": color_levels, "files": ["sh0.webp"]},
    }
    return pictures, meta


def levelled(values: Float[np.ndarray, "n 3"]) -> tuple[UInt8[np.ndarray, "n 3"], list[float]]:
    """Values as indices of even levels, and the levels."""
    low, high = float(values.min()), float(values.max())
    return to_byte((values - low) / max(high - low, 1e-12) * (LEVELS - 1)), np.linspace(low, high, LEVELS).tolist()


def picture(rows: UInt8[np.ndarray, "n c"]) -> bytes:
    """Rows of three or four channels as pixels of a nearly square lossless picture, row by row."""
    width = -(-int(np.ceil(np.sqrt(len(rows)))) // 4) * 4
    height = -(-len(rows) // (width * 4)) * 4
    pixels = np.zeros((height * width, 4), np.uint8)
    pixels[:, 3] = 255
    pixels[: len(rows), : rows.shape[1]] = rows
    kept = io.BytesIO()
    image = Image.fromarray(pixels.reshape(height, width, 4), "RGBA")
    image.save(kept, "WEBP", lossless=True, exact=True, quality=100, method=6)
    return kept.getvalue()
