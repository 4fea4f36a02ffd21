from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.evaluate.metrics import psnr
from gaussavatar.landmarks.detect import detect_landmarks
from gaussavatar.landmarks.measures import eye_openness, lip_aperture
from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import probe
from gaussavatar.media.sound_file import read_audio
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.storage import FrameStore
from gaussavatar.synthetic.actor import MASKS, ActorTruth, load_truth, make_actor_clip
from gaussavatar.synthetic.look import look_of_seed
from gaussavatar.synthetic.sides import ActorSides, is_of_seed
from gaussavatar.types import Landmarks

SECONDS, SIZE = 4.0, 320


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ActorTruth:
    return make_actor_clip(tmp_path_factory.mktemp("actor"), SECONDS, 1, SIZE, masks=True)


@pytest.fixture(scope="module")
def frames(clip: ActorTruth) -> list[np.ndarray]:
    return list(read_frames(clip.video, width=SIZE, height=SIZE))


@pytest.fixture(scope="module")
def landmarks(frames: list[np.ndarray]) -> Landmarks:
    return detect_landmarks(frames, SIZE)


def test_the_clip_has_the_length_size_and_sound_asked_for(clip: ActorTruth, frames: list[np.ndarray]) -> None:
    info = probe(clip.video)
    assert (info.width, info.height) == (SIZE, SIZE) and info.has_audio
    assert info.seconds == pytest.approx(SECONDS, abs=0.05) and len(frames) == 100
    assert len(clip.aperture) == len(clip.expression) == len(clip.R_camera_head) == 100
    heard = read_audio(clip.video).samples
    made = read_audio(clip.sound).samples
    n = min(len(heard), len(made))
    lag = np.argmax(np.correlate(heard[:n], made[:n], "full")) - (n - 1)
    assert abs(lag) <= 160


def test_the_truth_can_be_read_again(clip: ActorTruth) -> None:
    back = load_truth(clip.video.parent / "truth.safetensors")
    assert back.expression_names == ARKIT_EXPRESSIONS and back.video == clip.video and back.masks == clip.masks
    np.testing.assert_array_equal(back.R_camera_head, clip.R_camera_head)
    np.testing.assert_array_equal(back.landmarks, clip.landmarks)


def test_mediapipe_finds_the_face_where_the_truth_says(clip: ActorTruth, landmarks: Landmarks) -> None:
    assert landmarks.valid.mean() >= 0.95
    off = np.linalg.norm(landmarks.points[..., :2] - clip.landmarks[..., :2], axis=-1)
    assert np.median(off) < 0.012 * SIZE


def test_mediapipe_measures_the_lips_and_lids_that_the_truth_moves(clip: ActorTruth, landmarks: Landmarks) -> None:
    measured = lip_aperture(landmarks.points)
    assert np.corrcoef(measured, clip.aperture)[0, 1] > 0.8
    silent = clip.aperture < 0.005
    assert silent.sum() > 5 and measured[silent].mean() < 0.3 * measured[~silent].mean()
    blink = clip.expression[:, ARKIT_EXPRESSIONS.index("eyeBlinkLeft")]
    assert blink.max() > 0.6
    openness = eye_openness(landmarks.points).mean(1)
    assert openness[blink > 0.6].mean() < 0.6 * openness[blink < 0.2].mean()


def test_the_pose_projects_the_head_onto_itself(clip: ActorTruth) -> None:
    eyes = np.array([[-0.0289, 0, 0], [0.0289, 0, 0]])
    for frame in (0, 40, 90):
        camera = eyes @ clip.R_camera_head[frame].T + clip.t_camera_head[frame]
        pixels = camera @ clip.K.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        irises = clip.landmarks[frame, [468, 473], :2]
        assert np.abs(pixels - irises).max() < 0.02 * SIZE


def test_only_the_person_moves_and_the_wall_is_still(clip: ActorTruth, frames: list[np.ndarray]) -> None:
    masks = FrameStore(clip.masks)
    person = np.stack([masks.read(k)[..., MASKS.index("person")] for k in range(100)])
    wall = (person == 0).all(0)
    assert 0.2 < wall.mean() < 0.7
    stack = np.stack(frames).astype(float)
    assert stack[:, wall].std(0).mean() < 2.5 < stack[:, ~wall].std(0).mean()


def test_masks_nest_and_the_mouth_shows_its_inside_when_open(clip: ActorTruth) -> None:
    masks = FrameStore(clip.masks)
    inside = []
    for frame in range(0, 100, 3):
        person, head, face, mouth = np.moveaxis(masks.read(frame).astype(int), -1, 0)
        assert (person >= head - 1).all() and (head >= face - 1).all() and (head >= mouth - 1).all()
        assert 0.03 < face.mean() / 255 < head.mean() / 255 < person.mean() / 255
        inside.append(mouth.sum() / 255)
    opening = clip.aperture[::3]
    assert np.corrcoef(inside, opening)[0, 1] > 0.7


def test_another_seed_is_another_person() -> None:
    assert look_of_seed(5) == look_of_seed(5) != look_of_seed(6)


@pytest.mark.parametrize(("seconds", "size", "fps"), [(0.1, 256, 25), (3, 16, 25), (3, 256, 0)])
def test_clips_that_cannot_be_are_refused(seconds: float, size: int, fps: int, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        make_actor_clip(tmp_path, seconds, 0, size, fps)


def test_the_actor_is_drawn_from_the_side_as_the_clip_shows_it_from_the_front(
    clip: ActorTruth, frames: list[np.ndarray]
) -> None:
    sides = ActorSides(clip, 1)
    middle, K = sides.point(40, list(range(468))), clip.K.astype(float)
    front, head, body = sides.draw(40, K, SIZE, middle, 0, 0)
    face = FrameStore(clip.masks).read(40)[..., MASKS.index("face")] > 200  # type: ignore[arg-type]
    assert psnr(front, frames[40], face & head) > 30
    assert not (head & body).any() and head.sum() > face.sum()
    side, turned, _ = sides.draw(40, K, SIZE, middle, np.radians(30), 0)
    columns = [np.flatnonzero(mask.any(axis=0)) for mask in (head, turned)]
    assert np.abs(side.astype(int) - front).mean() > 3
    # The middle of the face stays where it is, and the back of the head comes out on one side.
    assert abs(np.mean(columns[1]) - np.mean(columns[0])) > 3


def test_the_wrong_actor_is_noticed(clip: ActorTruth) -> None:
    assert is_of_seed(clip, 1) and not is_of_seed(clip, 2)
