"""Detection in the stream, gaps, measures and index lists; pictures of real faces come from the shared clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.landmarks import indices
from gaussavatar.landmarks.detect import (
    detect_landmarks,
    fill_gaps,
    load_landmarks,
    save_landmarks,
    usable_frames,
)
from gaussavatar.landmarks.face_mesh import FaceDetector, FaceMesh
from gaussavatar.landmarks.measures import eye_openness, lip_aperture, lip_width
from gaussavatar.media.frames import read_frames

from .conftest import MadeUpClip, made_up_shape, make_clip

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"the real clips at {CLIPS} are absent")


@pytest.fixture(scope="module")
def woman() -> list[np.ndarray]:
    return list(read_frames(CLIPS / "woman_8s.mp4", width=256, height=256, seconds=4.4))


@needs_clips
def test_blocks_and_workers_give_what_one_pass_gives(woman: list[np.ndarray]) -> None:
    landmarks = detect_landmarks(iter(woman), 256)
    assert landmarks.valid.all() and landmarks.points.shape == (110, 478, 3)
    with FaceMesh() as mesh:
        alone = np.stack([mesh.detect(image) for image in woman])
    difference = np.linalg.norm((landmarks.points - alone)[..., :2], axis=-1).mean(1)
    # Fast frames are detected twice, so they differ from one pass by more; block borders must not.
    assert np.median(difference) < 0.1 and difference.max() < 1.2
    assert difference[96:100].max() < 0.3
    again = detect_landmarks(iter(woman), 256)
    assert np.array_equal(again.points, landmarks.points)


@needs_clips
def test_frames_without_a_face_are_invalid_and_bridged(woman: list[np.ndarray]) -> None:
    images = [*woman[:20], *(np.zeros_like(woman[0]) for _ in range(4)), *woman[24:40]]
    landmarks = detect_landmarks(images, 256)
    assert np.flatnonzero(~landmarks.valid).tolist() == [20, 21, 22, 23]
    between = landmarks.points[21:23].mean(0)
    ends = (landmarks.points[19] + landmarks.points[24]) / 2
    assert np.abs(between - ends).max() < 1e-2


def test_pictures_without_a_face_have_no_landmarks() -> None:
    noise = [np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8) for i in range(3)]
    landmarks = detect_landmarks(noise, 64)
    assert not landmarks.valid.any() and not landmarks.points.any()
    assert detect_landmarks([], 64).points.shape == (0, 478, 3)
    with pytest.raises(ValueError, match="64 x 64"):
        detect_landmarks([np.zeros((32, 64, 3), np.uint8)], 64)


@needs_clips
def test_several_faces_and_boxes(woman: list[np.ndarray], capfd: pytest.CaptureFixture[str]) -> None:
    both = np.concatenate([woman[0], woman[0][:, ::-1]], axis=1)
    with FaceMesh(static=True, max_faces=2) as mesh:
        faces = mesh.detect_all(both)
    with FaceDetector() as detector:
        boxes = detector.detect_all(both)
    assert len(faces) == 2 and len(boxes) == 2
    centres = sorted(face[:, 0].mean() for face in faces)
    assert centres[0] < 256 < centres[1]
    assert abs(centres[0] + centres[1] - 512) < 8
    assert boxes[0].height == pytest.approx(boxes[1].height, rel=0.2)
    assert capfd.readouterr().err == ""


def test_gaps_are_filled_linearly_and_held_at_the_ends() -> None:
    points = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    valid = np.ones(10, bool)
    valid[[0, 3, 4, 9]] = False
    broken = points.copy()
    broken[~valid] = -7
    filled = fill_gaps(broken, valid)
    assert filled[:, 0, 0].tolist() == [1, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert np.array_equal(fill_gaps(broken, np.zeros(10, bool)), broken)


def test_usable_frames_bridge_up_to_the_limit() -> None:
    valid = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1, 0], bool)
    assert usable_frames(valid, 2).astype(int).tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 1, 0]
    assert usable_frames(valid, 3).astype(int).tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 0]


def test_landmarks_are_saved_whole(clip: MadeUpClip, tmp_path: Path) -> None:
    landmarks = clip.landmarks()
    save_landmarks(tmp_path / "l.safetensors", landmarks)
    back = load_landmarks(tmp_path / "l.safetensors")
    assert np.array_equal(back.points, landmarks.points) and back.size == landmarks.size
    assert back.valid.dtype == bool and back.valid.all()
    data = (tmp_path / "l.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_landmarks(tmp_path / "cut.safetensors")


def test_measures_do_not_depend_on_size_and_follow_the_face() -> None:
    shape = made_up_shape()
    opened, shut = shape.copy(), shape.copy()
    opened[[14, 317, 87], 1] += 0.01
    for pairs in (indices.RIGHT_LID_PAIRS, indices.LEFT_LID_PAIRS):
        for upper, lower in pairs:
            shut[upper] = shut[lower]
    span = np.linalg.norm(shape[33, :2] - shape[263, :2])
    assert lip_aperture(opened) - lip_aperture(shape) == pytest.approx(0.01 / span, rel=0.02)
    assert lip_aperture(1000 * opened + 5) == pytest.approx(lip_aperture(opened))
    assert lip_width(shape) == pytest.approx(np.linalg.norm(shape[61, :2] - shape[291, :2]) / span)
    assert eye_openness(shut).tolist() == [0, 0] and (eye_openness(shape) > 0.2).all()
    batch = np.stack([shape, opened])[None]
    assert lip_aperture(batch).shape == (1, 2) and eye_openness(batch).shape == (1, 2, 2)
    assert lip_aperture(opened[:, :2]) == pytest.approx(lip_aperture(opened))


def test_index_lists_are_consistent() -> None:
    mirror = indices.MIRROR
    assert np.array_equal(mirror[mirror], np.arange(478))
    for right, left in (
        (indices.RIGHT_EYE, indices.LEFT_EYE),
        (indices.RIGHT_BROW, indices.LEFT_BROW),
        (indices.RIGHT_IRIS, indices.LEFT_IRIS),
    ):
        assert set(mirror[list(right)]) == set(left)
    for symmetric in (indices.RIGID, indices.FACE_OVAL, indices.LIPS_INNER, indices.LIPS_OUTER):
        assert len(set(symmetric)) == len(symmetric)
        assert set(mirror[list(symmetric)]) == set(symmetric)
    moving = {*indices.LIPS_INNER, *indices.LIPS_OUTER, *indices.RIGHT_BROW, *indices.LEFT_BROW}
    assert not moving & set(indices.RIGID)


@needs_clips
def test_the_mirror_map_is_that_of_real_faces(woman: list[np.ndarray]) -> None:
    with FaceMesh(static=True) as mesh:
        face, flipped = mesh.detect(woman[0]), mesh.detect(np.ascontiguousarray(woman[0][:, ::-1]))
    assert face is not None and flipped is not None
    back = flipped[indices.MIRROR] * [-1, 1, 1] + [256, 0, 0]
    assert np.median(np.linalg.norm((back - face)[:, :2], axis=1)) < 2.5


def test_made_up_clips_are_what_they_claim() -> None:
    clip = make_clip(60)
    assert clip.blink.max() == 1 and clip.mouth.max() > 1
    assert eye_openness(clip.points)[clip.blink == 1].max() < 0.1
