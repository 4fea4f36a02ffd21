"""Motion read from made-up clips whose mouth, lids and brows are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.landmarks import indices
from gaussavatar.landmarks.measures import lip_aperture
from gaussavatar.tracking.face.motion import (
    MotionConfig,
    extract_motion,
    head_space_landmarks,
    load_motion,
    mouth_region,
    save_motion,
)
from gaussavatar.tracking.poses.fit import track_landmarks
from gaussavatar.types import FaceMotion, Landmarks, Tracking

from .conftest import LOWER_LIP, MadeUpClip, make_clip


@pytest.fixture(scope="module")
def followed(clip: MadeUpClip) -> tuple[Landmarks, Tracking, FaceMotion]:
    landmarks = clip.landmarks(noise_px=0.2)
    tracking = track_landmarks(landmarks)
    return landmarks, tracking, extract_motion(landmarks, tracking)


def channel(motion: FaceMotion, name: str) -> np.ndarray:
    return motion.upper[:, motion.upper_names.index(name)]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_head_space_landmarks_project_back_exactly(followed) -> None:
    landmarks, tracking, _ = followed
    points = head_space_landmarks(landmarks, tracking)
    camera = points @ tracking.R_camera_head.swapaxes(1, 2) + tracking.t_camera_head[:, None]
    pixels = tracking.K[0, 0] * camera[..., :2] / camera[..., 2:] + tracking.K[:2, 2]
    assert np.abs(pixels - landmarks.points[..., :2]).max() < 2e-3


def test_aperture_is_the_true_one(clip: MadeUpClip, followed) -> None:
    motion = followed[2]
    truth = lip_aperture(clip.points)
    assert correlation(motion.aperture, truth) > 0.99
    assert np.abs(motion.aperture - truth).max() < 0.025
    assert motion.width.mean() == pytest.approx(50 / 88, abs=0.06)


def test_mouth_codes_carry_the_lips(clip: MadeUpClip, followed) -> None:
    _, tracking, motion = followed
    assert motion.mouth_codes.shape == (150, 12)
    assert motion.mouth_codes.std(0) == pytest.approx(np.ones(12), abs=1e-3)
    lips = list(LOWER_LIP)
    told = np.tensordot(motion.mouth_codes, motion.mouth_basis, 1)[:, lips, 1]
    truth = clip.points[:, lips, 1] - np.median(clip.points[:, lips, 1], axis=0)
    assert correlation(told.ravel(), truth.ravel()) > 0.98
    assert told.std() == pytest.approx(truth.std(), rel=0.1)


def test_mouth_basis_ends_where_the_mouth_does(followed) -> None:
    _, tracking, motion = followed
    region = mouth_region(tracking.shape)
    assert (region[list(indices.RIGID)] == 0).all() and region[152] == 1
    assert (region[[14, 17, 61, 291]] > 0.9).all()
    assert not motion.mouth_basis[:, region == 0].any()
    assert not motion.upper_basis[:, region == 1].any()


def test_blinks_are_whole_and_not_smoothed(clip: MadeUpClip, followed) -> None:
    motion = followed[2]
    for side in ("blink_left", "blink_right"):
        blink = channel(motion, side)
        assert correlation(blink, clip.blink) > 0.98
        assert blink[clip.blink == 1].min() > 0.85
        assert blink[clip.blink == 0].max() < 0.25
        assert 0 <= blink.min() and blink.max() <= 1


def test_brows_rise_and_still_channels_stay_still(clip: MadeUpClip, followed) -> None:
    motion = followed[2]
    assert correlation(channel(motion, "brow_inner"), clip.brow) > 0.9
    assert channel(motion, "brow_inner").max() == pytest.approx(1.0, abs=0.2)
    for name in ("wide", "squint", "gaze_x", "gaze_y"):
        assert np.abs(channel(motion, name)).mean() < 0.2, name


def test_upper_basis_shuts_the_lids_and_lifts_the_brows(followed) -> None:
    motion = followed[2]
    basis = dict(zip(motion.upper_names, motion.upper_basis, strict=True))
    assert basis["blink_left"][[386, 385, 387], 1].mean() > 0.004
    assert (
        abs(basis["blink_left"][[159, 158, 160], 1].mean())
        < 0.5 * basis["blink_left"][[386, 385, 387], 1].mean() + 0.004
    )
    both = basis["blink_left"] + basis["blink_right"]
    assert both[[159, 158, 160], 1].mean() > 0.006
    brows = [*indices.RIGHT_BROW, *indices.LEFT_BROW]
    assert (basis["brow_inner"] + basis["brow_outer"])[brows, 1].mean() < -0.002


def test_a_face_that_never_blinks_has_no_blinks() -> None:
    staring = make_clip(blinks=False)
    landmarks = staring.landmarks(noise_px=0.2)
    motion = extract_motion(landmarks, track_landmarks(landmarks))
    assert channel(motion, "blink_left").max() < 0.3


def test_too_few_frames_are_said() -> None:
    short = make_clip(12, blinks=False).landmarks()
    tracking = track_landmarks(short)
    with pytest.raises(UserError, match="at least 24 frames"):
        extract_motion(short, tracking)
    assert extract_motion(short, tracking, MotionConfig(n_mouth=3)).mouth_codes.shape == (12, 3)
    none = replace(tracking, valid=np.zeros(12, bool))
    with pytest.raises(UserError, match="got 0"):
        extract_motion(short, none, MotionConfig(n_mouth=3))


def test_motion_is_saved_whole(followed, tmp_path: Path) -> None:
    motion = followed[2]
    save_motion(tmp_path / "m.safetensors", motion)
    back = load_motion(tmp_path / "m.safetensors")
    for name in FaceMotion.__dataclass_fields__:
        assert np.array_equal(getattr(back, name), getattr(motion, name)), name
