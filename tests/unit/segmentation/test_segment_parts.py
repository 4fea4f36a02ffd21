"""Plate, filling, matting and memory one by one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.image.filling import fill_holes
from gaussavatar.progress import QuietProgress
from gaussavatar.segmentation import SegmentationConfig, load_segmentation, segment_capture
from gaussavatar.segmentation.geometry import outlines_of
from gaussavatar.segmentation.matting import largest_person, refine_alpha
from gaussavatar.segmentation.plate import Plate, estimate_plate
from gaussavatar.segmentation.torso import body_shift, merge_memories, remember
from gaussavatar.types import Landmarks, Tracking


def _texture(side: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.uniform(30, 220, (side // 6, side // 6, 3)).astype(np.float32), (side, side))


def _moving_disc(count: int, side: int, drift: float) -> tuple[np.ndarray, np.ndarray]:
    wide = _texture(2 * side)
    y, x = np.mgrid[:side, :side]
    frames, persons = [], []
    for i in range(count):
        left = int(drift * i)
        disc = (x - (0.2 + 0.6 * i / count) * side) ** 2 + (y - 0.5 * side) ** 2 < (0.16 * side) ** 2
        frame = wide[:side, left : left + side].copy()
        frame[disc] = (250, 0, 0)
        frames.append(frame.astype(np.uint8))
        persons.append((disc * 255).astype(np.uint8))
    return np.stack(frames), np.stack(persons)


def test_plate_behind_a_moving_disc() -> None:
    """Everything the disc ever left free comes back, without a trace of red."""
    frames, persons = _moving_disc(30, 96, drift=0.0)
    plate = estimate_plate(frames, persons, 6.0)
    assert plate.static and plate.residual == 0
    assert np.abs(plate.image - _texture(192)[:96, :96]).max() < 1.5
    assert plate.trust.min() > 0.9


def test_moving_camera_is_noticed() -> None:
    """A panning camera has no plate to trust."""
    frames, persons = _moving_disc(30, 96, drift=2.0)
    plate = estimate_plate(frames, persons, 6.0)
    assert not plate.static and plate.trust.max() == 0
    assert np.isfinite(plate.image).all()


def test_never_seen_background_is_filled_smoothly() -> None:
    """A disc that stands still leaves a hole, which is filled from around it and not trusted."""
    frames, persons = _moving_disc(30, 96, drift=0.0)
    frames, persons = np.repeat(frames[:1], 10, 0), np.repeat(persons[:1], 10, 0)
    plate = estimate_plate(frames, persons, 6.0)
    hole = persons[0] > 0
    assert plate.trust[hole].max() == 0
    assert (np.abs(plate.image[hole] - (250, 0, 0)).max(-1) > 40).all()


def test_fill_holes_keeps_what_is_known_and_spans_the_rest() -> None:
    """A ramp with a hole: known values stay, the hole comes close to the ramp."""
    ramp = np.repeat(np.linspace(0, 100, 64, dtype=np.float32)[None, :, None], 64, 0).repeat(3, 2)
    weight = np.ones((64, 64), np.float32)
    weight[20:44, 20:44] = 0
    filled = fill_holes(np.where(weight[..., None] > 0, ramp, 999.0).astype(np.float32), weight)
    np.testing.assert_allclose(filled[weight > 0], ramp[weight > 0], atol=1e-3)
    assert np.abs(filled - ramp)[weight == 0].max() < 20


def test_known_background_sharpens_a_blurred_probability() -> None:
    """True alpha of an antialiased disc comes back far better than the blurred network output."""
    side = 160
    large = np.zeros((side * 4, side * 4), np.float32)
    cv2.circle(large, (side * 2, side * 2), side, 1.0, -1)
    truth = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)
    background = _texture(side)
    image = (truth[..., None] * np.float32([60, 40, 30]) + (1 - truth[..., None]) * background).astype(np.uint8)
    probability = cv2.GaussianBlur(truth, (0, 0), 4.0)
    plate = Plate(background, np.ones((side, side), np.float32), True, 0.0)
    alpha = refine_alpha(image, probability, plate, 6.0) / 255.0
    assert np.abs(alpha - truth).mean() < 0.25 * np.abs(probability - truth).mean()


def test_alike_colours_fall_back_on_the_network() -> None:
    """Where person and background look the same the probability decides, and nothing explodes."""
    side = 128
    probability = cv2.GaussianBlur((np.mgrid[:side, :side][1] > 64).astype(np.float32), (0, 0), 3.0)
    image = np.full((side, side, 3), 120, np.uint8)
    alpha = refine_alpha(image, probability, None, 5.0) / 255.0
    assert _close(alpha, probability)


def _close(alpha: np.ndarray, probability: np.ndarray) -> bool:
    return bool(np.abs(alpha - probability).max() < 0.2 and np.abs(alpha - probability).mean() < 0.03)


def test_second_blob_is_not_the_person() -> None:
    """Only what hangs together with the face stays."""
    probability = np.zeros((64, 64), np.float32)
    probability[10:50, 10:30] = 0.9
    probability[40:50, 50:60] = 0.8
    kept = largest_person(probability, (20 / 64, 30 / 64))
    assert kept[:, 45:].max() == 0 and kept[30, 20] == np.float32(0.9)


def test_body_shift_follows_and_notices_a_cut() -> None:
    """Sub-pixel motion of a textured body; None when the picture is another one."""
    grey = _texture(128)[..., 0].astype(np.uint8)
    moved = cv2.warpAffine(grey, np.float32([[1, 0, 2.5], [0, 1, -1.0]]), (128, 128), borderMode=cv2.BORDER_REFLECT)
    body = np.zeros((128, 128), np.uint8)
    body[60:, :] = 1
    shift = body_shift(grey, moved, body)
    assert shift is not None
    np.testing.assert_allclose(shift, (2.5, -1.0), atol=0.2)
    assert body_shift(grey, _texture(128, seed=5)[..., 0].astype(np.uint8), body) is None
    plain = np.full((128, 128), 90, np.uint8)
    assert body_shift(plain, plain, body) == (0.0, 0.0)


def test_hidden_body_is_recalled_from_before_and_after() -> None:
    """A body that moves 1 px a frame and is hidden in the middle frame comes back in place; a cut forgets it."""
    scene = _texture(96).astype(np.uint8)
    shifts = np.tile(np.float32([1.0, 0.0]), (7, 1))
    images = [cv2.warpAffine(scene, np.float32([[1, 0, i], [0, 1, 0]]), (96, 96)) for i in range(7)]
    bodies = [np.full((96, 96), 255, np.uint8) for _ in range(7)]
    bodies[3][30:60, 30:60] = 0
    hidden = images[3].copy()
    hidden[30:60, 30:60] = 0
    seen = [*images[:3], hidden, *images[4:]]
    past = list(remember(seen, bodies, shifts))
    back = np.concatenate([np.zeros((1, 2), np.float32), -shifts[:0:-1]])
    future = list(remember(seen[::-1], bodies[::-1], back))[::-1]
    colours, known = merge_memories(past[3], future[3])
    assert known[30:60, 30:60].all()
    assert np.abs(colours[30:60, 30:60].astype(int) - images[3][30:60, 30:60]).mean() < 3
    shifts[3] = np.nan
    assert list(remember(seen, bodies, shifts))[3][1].max() == 0


def test_missing_or_garbled_record_is_a_user_error(tmp_path: Path) -> None:
    """An interrupted run leaves no record; the message says what to do."""
    with pytest.raises(UserError, match="segmentation.json"):
        load_segmentation(tmp_path)
    (tmp_path / "segmentation.json").write_text('{"size": "x"}')
    with pytest.raises(UserError, match="run again"):
        load_segmentation(tmp_path)


def _clip(valid: np.ndarray) -> tuple[Landmarks, Tracking]:
    n = len(valid)
    points = np.zeros((n, 478, 3), np.float32)
    points[:, 10, 1], points[:, 152, 1] = 20, 120
    points[:, 234, 0], points[:, 454, 0] = 30, 110
    points += np.arange(n, dtype=np.float32)[:, None, None]
    points[~valid] = 0
    landmarks = Landmarks(points, valid, 128)
    eye = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
    shape, zeros = points[0], np.zeros((n, 3), np.float32)
    codes, basis = np.zeros((n, 1), np.float32), np.zeros((1, 478, 3), np.float32)
    return landmarks, Tracking(eye, zeros, eye[0], 128, shape, basis, codes, valid, np.zeros(n, np.float32))


def test_frames_without_landmarks_are_interpolated() -> None:
    """A gap in even motion closes exactly, and lengths scale with the output size."""
    valid = np.ones(9, bool)
    valid[3:6] = False
    outlines = outlines_of(*_clip(valid), size=64)
    steps = np.diff(outlines.points[1:-1, 10, 0])
    np.testing.assert_allclose(steps, 0.5, atol=1e-4)
    assert outlines.face_height == pytest.approx(50.0) and outlines.face_width == pytest.approx(40.0)


def test_clip_without_a_face_is_a_user_error() -> None:
    """There is nothing to segment."""
    with pytest.raises(UserError, match="a face in the clip"):
        outlines_of(*_clip(np.zeros(4, bool)), size=64)


@pytest.mark.usefixtures("types_unchecked")
def test_unwritable_folder_is_a_user_error(tmp_path: Path) -> None:
    """The output folder is a file: say so before any work is done."""
    (tmp_path / "file").write_text("")
    landmarks, tracking = _clip(np.ones(3, bool))
    with pytest.raises(UserError, match="choose another"):
        segment_capture(None, landmarks, tracking, tmp_path / "file" / "out", 64, SegmentationConfig(), QuietProgress())  # type: ignore[arg-type]
