"""How good masks are: overlap with a truth, and how much their edges flicker."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

FLOW_SIDE = 256
"""Side of the images in which motion is estimated."""


def mask_iou(
    predicted: UInt8[np.ndarray, "*b h w"],
    truth: UInt8[np.ndarray, "*b h w"],
    ignore: Bool[np.ndarray, "*b h w"] | None = None,
) -> float:
    """Intersection over union of two soft masks cut at one half, over all pixels given; 1 where both are empty.

    ``ignore`` leaves pixels out, for instance a don't-care band. (Everingham et al., The Pascal Visual Object
    Classes Challenge, 2010, section 4.2.2.)
    """
    first, second = predicted > 127, truth > 127
    if ignore is not None:
        first, second = first & ~ignore, second & ~ignore
    union = int(np.count_nonzero(first | second))
    return np.count_nonzero(first & second) / union if union else 1.0


def flicker(masks: Iterable[UInt8[np.ndarray, "h w"]], frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> float:
    """How far a mask's edge jumps from frame to frame beyond what motion explains, in pixels at 512.

    Every mask is compared with the mean of its two neighbours in time, each brought to its frame by the
    frames' own optical flow (Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016). The absolute
    difference, summed over the image and divided by the length of the mask's edge, is the mean distance by which
    the edge is off. Smooth motion and smooth growth cost nothing. Frames without the mask are left out.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    window: list[tuple[np.ndarray, np.ndarray]] = []
    off, length = 0.0, 0.0
    for mask, frame in zip(masks, frames, strict=True):
        window = [*window[-2:], (mask, _grey(frame))]
        if len(window) < 3:
            continue
        (before, grey_before), (own, grey), (after, grey_after) = window
        neighbours = [
            _brought(other, flow.calc(grey, seen, np.empty(0)))  # type: ignore[call-overload]
            for other, seen in ((before, grey_before), (after, grey_after))
        ]
        scale = 512.0 / mask.shape[0]
        off += float(np.abs(own - 0.5 * (neighbours[0] + neighbours[1])).sum()) / 255.0 * scale**2
        length += edge_length(own) * scale
    return off / length if length else 0.0


def edge_length(mask: UInt8[np.ndarray, "h w"]) -> float:
    """Length in pixels of a soft mask's edge: the integral of its gradient's magnitude."""
    values = mask.astype(np.float32) / 255.0
    across, down = np.diff(values, axis=1), np.diff(values, axis=0)
    # Means over the two rows, or columns, of each cell: a gradient of one place, alike in all directions.
    across, down = 0.5 * (across[:-1] + across[1:]), 0.5 * (down[:, :-1] + down[:, 1:])
    return float(np.hypot(across, down).sum())


def _grey(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s"]:
    small = cv2.resize(frame, (FLOW_SIDE, FLOW_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _brought(mask: UInt8[np.ndarray, "h w"], flow: Float32[np.ndarray, "s s 2"]) -> Float32[np.ndarray, "h w"]:
    """A neighbour's mask seen from the frame that ``flow`` starts at."""
    height, width = mask.shape
    large = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(width / FLOW_SIDE)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    source = mask.astype(np.float32)
    return cv2.remap(
        source, columns + large[..., 0], rows + large[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
