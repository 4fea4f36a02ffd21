"""The whole stage on two seconds of a real clip, networks included."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.capture.store import Capture
from gaussavatar.landmarks.detect import detect_landmarks
from gaussavatar.media.frames import read_frames
from gaussavatar.progress import QuietProgress
from gaussavatar.segmentation import Segmentation, SegmentationConfig, segment_capture
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.tracking.poses.fit import track_landmarks
from gaussavatar.types import Landmarks

CLIP = Path(__file__).parents[3] / ".." / "shared" / "data" / "clips" / "anchor_71s.mp4"
SIZE = 256


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmentation, Landmarks]:
    if not CLIP.exists():
        pytest.skip("the test clips (../shared) are not here")
    folder = tmp_path_factory.mktemp("clip")
    with frame_writer(folder / "frames.u8", (SIZE, SIZE, 3)) as out:
        for frame in read_frames(CLIP, width=SIZE, height=SIZE, start=30.0, seconds=2.0):
            out.append(frame)
    capture = Capture(folder, SIZE, len(FrameStore(folder / "frames.u8")), 25, (0, 0, SIZE), {}, None)
    frames = capture.frames()
    landmarks = detect_landmarks((frames.read(i) for i in range(len(frames))), SIZE)
    tracking = track_landmarks(landmarks)
    config = SegmentationConfig()
    result = segment_capture(capture, landmarks, tracking, folder / "out", SIZE, config, QuietProgress())
    return result, landmarks


def _blue(image: np.ndarray) -> np.ndarray:
    """The clip's studio wall: far more blue than red."""
    return image[..., 2].astype(int) - image[..., 0] > 70


def test_no_blue_screen_and_no_collar_in_the_head(segmented: tuple[Segmentation, Landmarks]) -> None:
    """What the head mask holds is skin and hair: no wall, no white shirt, nothing under the chin."""
    result, landmarks = segmented
    for i in range(0, result.n_frames, 10):
        frame, mask = result.frames().read(i), result.masks().read(i)
        solid = mask[..., 0] > 200
        assert 0.12 < solid.mean() < 0.35
        assert _blue(frame)[solid].mean() < 0.01
        shirt = (frame.min(-1) > 170) & (np.ptp(frame, axis=-1) < 45)
        below_nose = np.arange(SIZE)[:, None] > landmarks.points[i, 2, 1] + 3
        lips = cv2.dilate((mask[..., 1] > 0).astype(np.uint8), np.ones((7, 7))) > 0
        assert (shirt & solid & below_nose & ~lips).sum() < 8
        chin = landmarks.points[i, 152, 1]
        assert mask[int(chin) + 8 :, :, 0].max() < 13


def test_ears_and_hair_are_head(segmented: tuple[Segmentation, Landmarks]) -> None:
    """Up to the hairline the whole upper part of the person is head."""
    result, landmarks = segmented
    for i in range(0, result.n_frames, 10):
        mask = result.masks().read(i)
        upper = np.arange(SIZE)[:, None] < landmarks.points[i, 4, 1]
        assert np.abs(mask[..., 0].astype(int) - mask[..., 3])[np.broadcast_to(upper, (SIZE, SIZE))].mean() < 0.5
        top = np.flatnonzero((mask[..., 0] > 127).any(1))[0]
        assert top < landmarks.points[i, 10, 1] - 0.15 * (landmarks.points[i, 152, 1] - landmarks.points[i, 10, 1])


def test_under_is_wall_above_and_no_face(segmented: tuple[Segmentation, Landmarks]) -> None:
    """Behind eyes and hair is the blue wall; away from the head the frame is untouched."""
    result, landmarks = segmented
    for i in range(0, result.n_frames, 10):
        under, frame, mask = result.under().read(i), result.frames().read(i), result.masks().read(i)
        eyes = int(landmarks.points[i, [33, 263], 1].mean())
        assert _blue(under[: eyes + 1]).all()
        away = cv2.dilate(mask[..., 0], np.ones((21, 21))) == 0
        assert (under[away] == frame[away]).all()
    assert result.static_camera


def test_composite_of_head_over_under_is_the_frame(segmented: tuple[Segmentation, Landmarks]) -> None:
    """Masks and image behind the head fit together: putting the head back changes almost nothing."""
    result, _ = segmented
    for i in range(0, result.n_frames, 10):
        frame = result.frames().read(i).astype(float)
        alpha = result.masks().read(i)[..., :1] / 255.0
        composite = frame * alpha + result.under().read(i) * (1 - alpha)
        assert 10 * np.log10(255**2 / np.mean((composite - frame) ** 2)) > 33
