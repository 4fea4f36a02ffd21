"""Overlap, flicker and camera motion on drawn pictures whose answers are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.segmentation.camera import camera_motion, summarize_motion
from gaussavatar.segmentation.measure import edge_length, flicker, mask_iou
from gaussavatar.storage import FrameStore, frame_writer

SIDE = 256


def _disc(x: float, radius: float = 60.0) -> np.ndarray:
    large = np.zeros((SIDE * 4, SIDE * 4), np.uint8)
    cv2.circle(large, (round(4 * x), SIDE * 2), round(4 * radius), (255,), -1)
    return cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (SIDE // 3, SIDE // 3, 3)).astype(np.float32)
    return cv2.resize(noise, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def test_overlap() -> None:
    """Halves that share a third; empty masks agree; ignored pixels do not count."""
    a, b = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    a[:, :4], b[:, 2:] = 255, 200
    assert mask_iou(a, b) == pytest.approx(2 / 6)
    assert mask_iou(a * 0, b * 0) == 1.0
    ignore = np.zeros((4, 6), bool)
    ignore[:, [0, 1, 4, 5]] = True
    assert mask_iou(a, b, ignore) == 1.0


def test_edge_length_of_a_disc() -> None:
    """The integral of the gradient over an antialiased disc is its circumference."""
    assert edge_length(_disc(128)) == pytest.approx(2 * np.pi * 60, rel=0.06)


def test_flicker_counts_jumps_and_not_motion() -> None:
    """A disc that moves evenly with its picture costs little; edges that jump by a pixel cost about a pixel."""
    texture = _texture()
    frames, steady, jumping = [], [], []
    for i in range(12):
        background, mask = texture[:SIDE, :SIDE].copy(), _disc(90 + i)
        surface = np.roll(texture, i, 1)[SIDE:, :SIDE]
        frames.append(np.where(mask[..., None] > 127, surface, background))
        steady.append(mask)
        jumping.append(_disc(90 + i, 60 + (1.0 if i % 2 else -1.0)))
    calm, jump = flicker(steady, frames), flicker(jumping, frames)
    # The edge is 2 pixels off its neighbours' mean, 4 at 512.
    assert calm < 0.5 and jump == pytest.approx(4.0, rel=0.25)


def _clip(folder: Path, drift: float, walker: bool) -> tuple[FrameStore, np.ndarray]:
    texture = _texture(1)
    person = np.zeros((SIDE, SIDE), np.uint8)
    person[100:, 90:170] = 255
    with frame_writer(folder / "frames.u8", (SIDE, SIDE, 3)) as out:
        for i in range(40):
            shift = np.float32([[1, 0, -drift * i], [0, 1, 0]])
            frame = cv2.warpAffine(texture, shift, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
            frame[person > 0] = np.random.default_rng(i).integers(0, 255, (int((person > 0).sum()), 3))
            if walker:
                frame[20:60, 4 * i : 4 * i + 30] = _texture(2)[:40, :30]
            out.append(frame)
    return FrameStore(folder / "frames.u8"), np.stack([person] * 14)


@pytest.mark.parametrize(("drift", "walker"), [(0.0, False), (0.0, True), (0.75, False)])
def test_camera_motion(tmp_path: Path, drift: float, walker: bool) -> None:
    """A pan is measured in pixels at 512; a person and a passer-by are none."""
    frames, persons = _clip(tmp_path, drift, walker)
    found = camera_motion(frames, list(range(0, 40, 3)), persons, 10.0)
    assert found.followed > 0.9
    assert found.per_frame == pytest.approx(2 * drift, abs=0.1)
    assert found.travel == pytest.approx(2 * drift * 39 * 0.95, abs=3.0)
    assert found.still == (drift == 0)


def test_motion_that_is_never_followed_is_none() -> None:
    """Without any background to follow nothing speaks against a static camera, and that shows."""
    found = summarize_motion([None, None], np.zeros((3, 2)), 2.0)
    assert (found.per_frame, found.travel, found.followed, found.still) == (0.0, 0.0, 0.0, True)
