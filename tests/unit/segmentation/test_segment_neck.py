"""The completed neck under the jaw: the real pixels stay as far up as the jaw's soft cut leaves them."""

from __future__ import annotations

import numpy as np

from gaussavatar.segmentation.colours import CLASSES
from gaussavatar.segmentation.records import SegmentationConfig
from gaussavatar.segmentation.under import Hidden, complete_neck, keep_real_neck, paste, surroundings

SIDE = 64
BROWN, BLUE = (110, 70, 50), (30, 60, 160)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame, its masks and what was completed: skin above row 30, a collar below, 6 rows of soft cut between."""
    rows = np.broadcast_to(np.arange(SIDE)[:, None], (SIDE, SIDE))
    head = np.clip((33 - rows) * 40, 0, 255).astype(np.uint8)
    person = np.full((SIDE, SIDE), 255, np.uint8)
    person[:, :10] = 0
    frame = np.where((rows < 30)[..., None], np.uint8([200, 150, 120]), np.uint8([240, 240, 240]))
    under = np.full_like(frame, 90)
    return frame, np.stack([head, head * 0, head, person], axis=-1), under


def test_the_real_neck_fades_in_with_the_cut() -> None:
    frame, masks, under = scene()
    kept = keep_real_neck(under, frame, masks)
    inside = slice(16, SIDE)
    assert (kept[40:, inside] == frame[40:, inside]).all(), "below the cut the frame"
    assert (kept[:30, inside] == 90).all(), "where the head is only what was completed"
    between = kept[32, 40].astype(int)
    assert (between > 95).all() and (between < 240).all(), "a fade, not a step"
    assert (kept[:, :8] == 90).all(), "nothing of the rim beside the person"


def test_paste_keeps_the_neck_only_where_it_is_given_masks() -> None:
    frame, masks, _ = scene()
    region = np.zeros((SIDE, SIDE), bool)
    region[:36] = True
    hidden = Hidden(np.full_like(frame, 90), region, (0, 0), SIDE)
    assert (paste(frame, hidden)[34, 20:] == 90).all()
    assert (paste(frame, hidden, masks)[34, 20:] == frame[34, 20:]).all()


def test_surroundings_know_where_nobody_is() -> None:
    frame, masks, _ = scene()
    around = surroundings(frame, masks, SIDE, 40.0, SegmentationConfig())
    assert around.nobody[:, :8].all() and not around.nobody[:, 12:].any()


def hair_and_cloth(hair_reach: float) -> np.ndarray:
    """What is completed above row 40, where brown hair falls over the left shoulder and blue cloth lies on the right.

    The face is 60 pixels high, the neck between columns 24 and 40.
    """
    image = np.full((SIDE, SIDE, 3), 200, np.uint8)
    classes, body, region = np.zeros_like(image), np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), bool)
    image[41:, :20], image[41:, 44:] = BROWN, BLUE
    classes[:, :20, CLASSES.index("hair")] = classes[:, 44:, CLASSES.index("cloth")] = 255
    body[41:, :20] = body[41:, 44:] = 1
    region[5:41, 2:62] = True
    fill = np.full((SIDE, SIDE, 3), 200, np.float32)
    skin = np.float32([220, 170, 140])
    complete_neck(fill, image.astype(np.float32), body, classes, region, skin, 32.0, 8.0, 60.0, 0.24, hair_reach)
    return fill


def test_hair_goes_on_upward_behind_the_hair_that_goes_with_the_head() -> None:
    fill = hair_and_cloth(0.35)
    assert np.abs(fill[30:40, 4:16] - BROWN).max() < 3, "a sixth of the face's height above the cut"
    assert (fill[:17, 4:16] > 198).all(), "not as far as the crown"
    assert (fill[:34, 48:60] > 198).all(), "cloth goes on for a few rows only"
    assert np.abs(fill[39, 48:60] - BLUE).max() < 40
    short = hair_and_cloth(0.0)
    assert (short[:34, 4:16] > 198).all() and (short[:, 48:60] == fill[:, 48:60]).all()
