"""The part of each frame that training looks at: about its head, and as large in all frames of a clip.

Beyond it a frame is what lies under the head anyway, and no Gaussian that is drawn there teaches anything; a step's
work on pixels falls by what is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

STEP = 8
"""Windows begin and end at multiples of this many pixels, so that coarse frames of them are parts of coarse frames."""

MARGIN, LEAST_MARGIN = 1 / 20, 6
"""Room around the head's matte, as a share of the frame's side: Gaussians that spill over it are seen to. In pixels it
is at least what a window of the structural similarity reaches over."""


@dataclass(frozen=True)
class Windows:
    """Where the windows of a clip's frames lie.

    Attributes:
        corners: x and y of each one's upper left pixel.
        width, height: of all.
    """

    corners: Int[np.ndarray, "n 2"]
    width: int
    height: int


def windows_about(heads: Int[np.ndarray, "n 4"], chosen: Bool[np.ndarray, "n"], size: int) -> Windows | None:
    """Windows about the heads of ``chosen`` frames; None where they would be next to whole frames, or do not fit.

    Args:
        heads: x0, y0, x1, y1 of each frame's head in pixels; what is not chosen is not looked at.
        chosen: frames that are trained on, one at least.
        size: the frames' side in pixels.
    """
    if size % STEP:
        return None
    border = max(LEAST_MARGIN, round(MARGIN * size))
    low = np.maximum(heads[:, :2] - border, 0) // STEP * STEP
    high = np.minimum(-(-(heads[:, 2:] + border) // STEP) * STEP, size)
    width, height = (high - low)[chosen].max(0).tolist()
    if width * height > 0.9 * size * size:
        return None
    # Where a head is smaller than the largest one, its window goes on to the right and below, or as far as there is.
    corners = np.minimum(low, size - np.array([width, height]))
    return Windows(np.where(chosen[:, None], corners, 0), width, height)
