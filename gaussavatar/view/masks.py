"""The parts that were found in a clip's frames, as half-transparent colours to lie over them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.media.packed import open_frames
from gaussavatar.segmentation.parts import PART_NAMES
from gaussavatar.storage import FrameStore

PART_COLOURS = {
    "face": "#e8a838",
    "hair": "#7d4fc4",
    "ears": "#e0559a",
    "inner_mouth": "#c81e1e",
    "lips": "#ff6f59",
    "neck": "#2fa866",
    "torso": "#b4cc2a",
}
"""Colours by part; the background has none."""

SURE, UNSURE = 150, 60
"""Opacity, of 255, of a label that is certain, and of one that nothing is learnt from."""


def parts_of(capture: Path, size: int, frames: int) -> FrameStore | None:
    """Labels of a capture's frames at a size; None where there are none, or of other frames.

    Args:
        capture: its folder.
        size: side of the pictures.
        frames: how many the capture has.
    """
    path = CaptureLayout(capture).segmentation(size).parts
    try:
        store = open_frames(path)
    except (UserError, OSError, KeyError, TypeError):
        return None
    return store if store.shape == (frames, size, size, 2) else None


def mask_picture(parts: UInt8[np.ndarray, "h w 2"]) -> UInt8[np.ndarray, "h w 4"]:
    """Straight RGBA of labels and their certainty: a label that nobody knows is seen through, as the background is."""
    table = np.zeros((256, 4), np.uint8)
    for name, colour in PART_COLOURS.items():
        table[PART_NAMES.index(name)] = (*bytes.fromhex(colour[1:]), SURE)
    picture = table[parts[..., 0]]
    picture[(parts[..., 1] < 128) & (picture[..., 3] > 0), 3] = UNSURE
    return picture


def mask_png(parts: UInt8[np.ndarray, "h w 2"]) -> bytes:
    """:func:`mask_picture` as a PNG."""
    return cv2.imencode(".png", cv2.cvtColor(mask_picture(parts), cv2.COLOR_RGBA2BGRA))[1].tobytes()


def legend() -> list[list[str]]:
    """Names of the parts with their colours."""
    return [[name.replace("_", " "), colour] for name, colour in PART_COLOURS.items()]
