"""The completed neck under the jaw: the real pixels stay as far up as the jaw's soft cut leaves them."""

from __future__ import annotations

import numpy as np

from gaussavatar.segmentation.records import SegmentationConfig
from gaussavatar.segmentation.under import Hidden, keep_real_neck, paste, surroundings

SIDE = 64


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
