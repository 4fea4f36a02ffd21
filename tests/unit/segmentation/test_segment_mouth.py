"""The mouth's edge, and the tracked head's label images, on drawings whose answers are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.segmentation.geometry import INNER_LIPS, OUTER_LIPS, Outlines
from gaussavatar.segmentation.measure import mask_iou
from gaussavatar.segmentation.mouth import MouthColours, learn_mouth, mouth_mask
from gaussavatar.segmentation.parallel import triples
from gaussavatar.segmentation.records import SegmentationConfig
from gaussavatar.segmentation.surface import EARS, FACE, NECK, NOTHING, SIDE, certain_head, head_surface, surface_priors
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.types import Tracking

SIZE, N = 256, 20
SKIN, LIP, TEETH, TONGUE, CAVITY = (215, 165, 140), (190, 105, 105), (225, 220, 205), (185, 100, 100), (50, 20, 25)


def _ring(centre: tuple[float, float], half: tuple[float, float], count: int) -> np.ndarray:
    """Points around an ellipse from its image-left end along the lower half, as the lips' lists run."""
    angles = np.pi - np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([centre[0] + half[0] * np.cos(angles), centre[1] + half[1] * np.sin(angles)], -1)


def _draw(opening: float, off: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, true inside of the mouth, and landmarks whose inner lips lie ``off`` pixels too high."""
    centre = (128.0, 170.0)
    image = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    near = ((x - centre[0]) / 34) ** 2
    lips = near + ((y - centre[1]) / (12 + opening / 2)) ** 2 < 1
    inside = ((x - centre[0]) / 26) ** 2 + ((y - centre[1]) / max(opening / 2, 0.1)) ** 2 < 1
    image[lips] = LIP
    image[inside] = CAVITY
    image[inside & (y < centre[1] - 0.1 * opening)] = TEETH
    image[inside & (np.abs(x - centre[0]) < 9) & (np.abs(y - centre[1] - 0.15 * opening) < 0.08 * opening)] = TONGUE
    noise = np.random.default_rng(int(opening * 10)).normal(0, 4, image.shape)
    points = np.zeros((478, 2), np.float32)
    points[list(INNER_LIPS)] = _ring((centre[0], centre[1] - off), (26, opening / 2), 20)
    points[list(OUTER_LIPS)] = _ring(centre, (34, 12 + opening / 2), 20)
    for upper, lower, across in ((82, 87, -6), (13, 14, 0), (312, 317, 6)):
        points[upper] = (centre[0] + across, centre[1] - off - opening / 2)
        points[lower] = (centre[0] + across, centre[1] - off + opening / 2)
    points[10], points[152] = (128, 40), (128, 210)
    return np.clip(image + noise, 0, 255).astype(np.uint8), inside & (opening > 0), points


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameStore, np.ndarray, Outlines]:
    path: Path = tmp_path_factory.mktemp("mouth") / "frames.u8"
    drawn = [_draw(opening, 2.0) for opening in np.linspace(0, 18, N)]
    with frame_writer(path, (SIZE, SIZE, 3)) as out:
        for image, _, _ in drawn:
            out.append(image)
    eye = np.tile(np.eye(3, dtype=np.float32), (N, 1, 1))
    outlines = Outlines(np.stack([points for _, _, points in drawn]), eye, 170.0, 130.0, SIZE)
    return FrameStore(path), np.stack([inside for _, inside, _ in drawn]), outlines


def test_the_edge_follows_the_lips_colour(filmed: tuple[FrameStore, np.ndarray, Outlines]) -> None:
    """Landmarks two pixels too high are put right, and a tongue of the lips' colour stays inside."""
    frames, truth, outlines = filmed
    config = SegmentationConfig()
    colours = learn_mouth(frames, outlines, config)
    unlearnt = MouthColours(np.zeros_like(colours.odds))
    for index in range(N // 2, N):
        image, true = frames.read(index), truth[index].astype(np.uint8) * 255
        by_colour = mask_iou(mouth_mask(image, outlines, index, colours, config), true)
        by_outline = mask_iou(mouth_mask(image, outlines, index, unlearnt, config), true)
        assert by_colour > 0.85 and by_colour > by_outline + 0.05
    assert mouth_mask(frames.read(0), outlines, 0, colours, config).max() == 0, "closed lips hide the mouth"


def test_teeth_open_a_mouth_that_the_detector_calls_shut(filmed: tuple[FrameStore, np.ndarray, Outlines]) -> None:
    """Inner-lip points in one line over showing teeth: the teeth are found; a dark line between lips stays shut."""
    frames, truth, outlines = filmed
    config, index = SegmentationConfig(), N // 3
    colours = learn_mouth(frames, outlines, config)
    points = outlines.points.copy()
    points[index, list(INNER_LIPS), 1] = points[index, list(INNER_LIPS), 1].mean()
    shut = Outlines(points, outlines.R_camera_head, outlines.face_height, outlines.face_width, SIZE)
    image = frames.read(index)
    found = mouth_mask(image, shut, index, colours, config) > 127
    teeth = truth[index] & (np.abs(image.astype(int) - TEETH).max(-1) < 25)
    assert teeth.sum() > 50 and found[teeth].mean() > 0.75 and (found & ~truth[index]).sum() < 0.15 * found.sum()
    lined = np.where(truth[index][..., None], np.uint8(LIP), image)
    cv2.line(lined, (104, 169), (152, 169), CAVITY, 1)
    assert mouth_mask(lined, shut, index, colours, config).max() == 0


def test_a_clip_that_never_opens_the_mouth_goes_by_the_outline(
    filmed: tuple[FrameStore, np.ndarray, Outlines],
) -> None:
    """Without examples colour says nothing."""
    frames, _, outlines = filmed
    shut = Outlines(np.repeat(outlines.points[:1], N, 0), outlines.R_camera_head, 170.0, 130.0, SIZE)
    assert (learn_mouth(frames, shut, SegmentationConfig()).odds == 0).all()


def test_label_image_of_the_head() -> None:
    """Before the camera: nose is face, ears stick out at both sides, the throat under the chin is neck."""
    head = builtin_head(embedded=False)
    n = 3
    R = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
    t = np.tile(np.float32([0, 0, 0.8]), (n, 1))
    K = np.float32([[1100, 0, 256], [0, 1100, 256], [0, 0, 1]])
    zeros = np.zeros((n, 1), np.float32)
    still = np.zeros((478, 3), np.float32)
    tracking = Tracking(R, t, K, 512, still, still[None], zeros, np.ones(n, bool), zeros[:, 0])
    joints = np.zeros((n, len(head.joint_names), 3), np.float32)
    expression = np.zeros((n, len(head.expression_names)), np.float32)
    track = HeadTrack(head, "builtin", np.zeros(0, np.float32), expression, joints, zeros[:, 0])
    images = list(head_surface(track, tracking).label_images(n))
    assert len(images) == n and (images[0] == images[2]).all()

    def seen(x: float, y: float, z: float) -> int:
        column, row = (K[:2] @ np.array([x, y, z + 0.8]) / (z + 0.8) * SIDE / 512).astype(int)
        return int(images[0][row, column])

    chin = head.template[head.region("face")][:, 1].max()
    assert seen(0, 0.02, -0.03) == FACE and seen(0, chin + 0.015, 0.05) == NECK and images[0][0, 0] == NOTHING
    ears = np.nonzero(images[0] == EARS)[1]
    face = np.nonzero(images[0] == FACE)[1]
    assert ears.min() < face.min() and ears.max() > face.max()
    priors = surface_priors(images[0], 256, 200.0)
    assert {name: value.shape for name, value in priors.items()} == dict.fromkeys(("face", "ears", "neck"), (256, 256))
    certain = certain_head(images[0], 256, 200.0)
    assert certain[128, 128] == 1 and certain[0, 0] == 0
    outline = cv2.resize((images[0] > 0).astype(np.float32), (256, 256), interpolation=cv2.INTER_LINEAR)
    assert (certain > 0.5).sum() < (outline > 0.5).sum() and outline[certain > 0.5].min() > 0.9


def test_triples_reach_both_ends() -> None:
    """Every item comes once, with its neighbours; the ends stand in for what is missing."""
    assert list(triples(range(3))) == [(0, 0, 1), (0, 1, 2), (1, 2, 2)]
    assert list(triples([7])) == [(7, 7, 7)] and list(triples([])) == []
