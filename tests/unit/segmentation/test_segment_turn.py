"""Behind the head of the demo actor: turn the head by 8 degrees, and what comes to light is what truly is there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaussavatar.capture.store import Capture
from gaussavatar.head.model import REGIONS
from gaussavatar.progress import QuietProgress
from gaussavatar.segmentation import Segmentation, SegmentationConfig, segment_capture
from gaussavatar.segmentation.surface import throat
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.synthetic.actor import Film, Stage, coverage_masks
from gaussavatar.synthetic.body import ActorBody
from gaussavatar.synthetic.motion import ActorMotion, actor_motion
from gaussavatar.synthetic.speech import babble
from gaussavatar.types import Landmarks, Tracking

SIZE, N, SEED = 256, 30, 2
TURN = np.radians(8.0)

pytestmark = pytest.mark.slow


@dataclass
class Take:
    """A short film of the actor and its segmentation."""

    stage: Stage
    motion: ActorMotion
    body: ActorBody
    """The actor whose throat counts as neck, not as head."""
    result: Segmentation

    def frames(self) -> FrameStore:
        return FrameStore(self.result.folder.parent / "frames.u8")


def _draw(stage: Stage, body: ActorBody, motion: ActorMotion, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture and coverage masks (person, head, face, inside of the mouth) of one frame."""
    film = Film(stage, motion)
    picture = film.draw(index, film.pose(film.head, slice(index, index + 1))[0])
    return picture.rgb, coverage_masks(body, picture)


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Take:
    folder: Path = tmp_path_factory.mktemp("turn")
    stage = Stage.build(SEED, SIZE)
    regions = stage.body.head.regions.copy()
    regions[throat(stage.body.head)] = REGIONS.index("neck")
    body = dataclasses.replace(stage.body, head=dataclasses.replace(stage.body.head, regions=regions))
    motion = actor_motion(babble(N / 25, SEED), N, 25, SEED, body.head.joint_names)
    film = Film(stage, motion)
    with frame_writer(folder / "frames.u8", (SIZE, SIZE, 3)) as out:
        for index in range(N):
            out.append(_draw(stage, body, motion, index)[0])
    points = film.landmarks()[1].astype(np.float32)
    points[..., 2] = 0
    still = np.zeros((478, 3), np.float32)
    tracking = Tracking(
        film.R, film.t, stage.K, SIZE, still, still[None], np.zeros((N, 1), np.float32),
        np.ones(N, bool), np.zeros(N, np.float32),
    )  # fmt: skip

    capture = Capture(folder, SIZE, N, 25, (0, 0, SIZE), {}, None)
    landmarks = Landmarks(points, np.ones(N, bool), SIZE)
    config = SegmentationConfig()
    result = segment_capture(capture, landmarks, tracking, folder / "out", SIZE, config, QuietProgress())
    return Take(stage, motion, body, result)


def _turned(motion: ActorMotion, joint: int, axis: tuple[float, float, float]) -> ActorMotion:
    joints = motion.joints.copy()
    turn = Rotation.from_rotvec(np.array(axis) * TURN)
    joints[:, joint] = (turn * Rotation.from_rotvec(joints[:, joint])).as_rotvec()
    return dataclasses.replace(motion, joints=joints)


def holes(
    under: np.ndarray, truth: np.ndarray, masks: np.ndarray, wall: np.ndarray, uncovered: np.ndarray
) -> np.ndarray:
    """Uncovered pixels that show the wall where the body is, or something else where the wall is."""
    bare = np.abs(under.astype(int) - wall).max(-1) < 24
    contrast = np.abs(truth.astype(int) - wall).max(-1) > 30
    return uncovered & ((bare & contrast & (masks[..., 0] > 250)) | (~bare & (masks[..., 0] < 5)))


@pytest.mark.parametrize("axis", [(0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1)])
def test_a_turned_head_opens_no_hole(take: Take, axis: tuple[float, float, float]) -> None:
    """Where the head was and no longer is lies neck, shirt or wall, each where it truly is."""
    joint = take.body.head.joint_names.index("head")
    motion = _turned(take.motion, joint, axis)
    wall = take.result.plate().astype(int)
    for index in (4, 22):
        truth, masks = _draw(take.stage, take.body, motion, index)
        was = cv2.dilate((take.result.masks().read(index)[..., 0] > 12).astype(np.uint8), np.ones((5, 5))) > 0
        now = cv2.dilate((masks[..., 1] > 2).astype(np.uint8), np.ones((3, 3))) > 0
        uncovered = was & ~now
        assert uncovered.sum() > 100
        found = holes(take.result.under().read(index), truth, masks, wall, uncovered)
        # Single pixels along a soft edge are no hole; a patch of three by three is one.
        assert found.sum() <= 0.02 * uncovered.sum()
        assert cv2.erode(found.astype(np.uint8), np.ones((3, 3))).sum() == 0


def test_the_measure_sees_a_hole(take: Take) -> None:
    """An image that ends at the jaw, wall in its place, is found out."""
    motion = _turned(take.motion, take.body.head.joint_names.index("head"), (-1, 0, 0))
    truth, masks = _draw(take.stage, take.body, motion, 4)
    was = take.result.masks().read(4)[..., 0] > 12
    uncovered = was & ~(cv2.dilate((masks[..., 1] > 2).astype(np.uint8), np.ones((3, 3))) > 0)
    empty = np.where(was[..., None], take.result.plate(), take.result.under().read(4))
    assert holes(empty, truth, masks, take.result.plate().astype(int), uncovered).sum() > 0.2 * uncovered.sum()
