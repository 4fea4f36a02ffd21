"""Makes the README's picture: held-out frames of the demo's clip above, the avatar by audio below.

After ``make demo`` and ``gaussavatar evaluate demo_out/avatar --save-frames frames``, run
``.venv/bin/python docs/side_by_side.py frames docs/side_by_side.jpg``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from gaussavatar.evaluate.evaluate import measure_faces
from gaussavatar.media.images import read_image, write_image

COLUMNS = 4
GAP = 6
"""White pixels between the pictures."""
MARGIN = 0.14
"""Share of each side that is cut off, so that the faces are large enough to look at."""


def side_by_side(frames: Path, out: Path) -> None:
    """Choose frames from the most closed mouth to the most open one and put them in two rows, in order of time."""
    real = [read_image(path) for path in sorted(frames.glob("real_*.png"))]
    rendered = [read_image(path) for path in sorted(frames.glob("rendered_*.png"))]
    by_opening = np.argsort(measure_faces(real).aperture)
    places = np.linspace(0.05, 0.97, COLUMNS) * (len(real) - 1)
    cut = round(MARGIN * real[0].shape[0])
    rows = []
    for images in (real, rendered):
        tiles = []
        for index in sorted(by_opening[places.round().astype(int)]):
            tile = images[index][cut // 2 : -(cut + cut // 2), cut:-cut]
            tiles += [tile, np.full((tile.shape[0], GAP, 3), 255, np.uint8)]
        rows += [np.concatenate(tiles[:-1], axis=1)]
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    write_image(out, np.concatenate([rows[0], gap, rows[1]]))


if __name__ == "__main__":
    side_by_side(Path(sys.argv[1]), Path(sys.argv[2]))
