"""The whole second and third pass on a drawn person whose masks are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.progress import QuietProgress
from gaussavatar.segmentation import Segmentation, SegmentationConfig
from gaussavatar.segmentation.geometry import INNER_LIPS, JAW, OVAL, outlines_of
from gaussavatar.segmentation.parser import FrameParser
from gaussavatar.segmentation.parts import PART_NAMES
from gaussavatar.segmentation.stage import segment_persons
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.types import Landmarks, Tracking

SIZE = 192
N = 40
SKIN, NECK, HAIR, SHIRT = (215, 160, 130), (170, 120, 100), (60, 40, 30), (40, 60, 150)
HEIGHT, WIDTH = 72.0, 54.0  # Face oval, forehead to chin and ear to ear, in pixels.


@dataclass
class Drawn:
    frames: np.ndarray
    heads: np.ndarray
    persons: np.ndarray
    background: np.ndarray
    centres: np.ndarray
    mouths: np.ndarray
    result: Segmentation
    folder: Path


def _landmarks(centre: np.ndarray, opening: float) -> np.ndarray:
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = centre
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False) - np.pi / 2
    points[list(OVAL), :2] = centre + 0.5 * np.stack([WIDTH * np.cos(angles), HEIGHT * np.sin(angles)], -1)
    lips = np.linspace(np.pi, 3 * np.pi, len(INNER_LIPS), endpoint=False)
    mouth = centre + [0, 0.25 * HEIGHT]
    points[list(INNER_LIPS), :2] = mouth + np.stack([-10 * np.cos(lips), -0.5 * opening * np.sin(lips)], -1) * [-1, 1]
    for upper, lower, x in ((82, 87, -4), (13, 14, 0), (312, 317, 4)):
        points[upper, :2], points[lower, :2] = mouth + [x, -opening / 2], mouth + [x, opening / 2]
    return points


def _ellipse(centre: np.ndarray, half: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    return ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 < 1


def _draw() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    background = cv2.resize(rng.uniform(60, 200, (12, 12, 3)).astype(np.float32), (SIZE, SIZE)) * [0.6, 1.0, 0.7]
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    frames, heads, persons, centres, mouths, points = [], [], [], [], [], []
    for i in range(N):
        centre = np.array([96 + 14 * np.sin(i / 6), 84 + 3 * np.sin(i / 3)])
        opening = 0.0 if i % 8 < 3 else 6.0
        image = background.copy()
        torso = ((x - 96) / 80) ** 2 + ((y - 196) / 60) ** 2 < 1
        neck = (np.abs(x - 96) < 17) & (y > 100) & (y < 150)
        face = _ellipse(centre, (WIDTH / 2, HEIGHT / 2))
        hair = _ellipse(centre + [0, -12], (WIDTH / 2 + 5, HEIGHT / 2 + 6)) & (y < centre[1] - 14) & ~face
        hair |= face & (y < centre[1] - 26)
        for mask, colour in ((torso, SHIRT), (neck, NECK), (face, SKIN), (hair, HAIR)):
            image[mask] = colour
        pts = _landmarks(centre, opening)
        mouth = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillPoly(mouth, [np.round((pts[list(INNER_LIPS), :2] - 0.5) * 16).astype(np.int32)], 1, shift=4)
        if opening:
            image[mouth > 0] = (90, 20, 20)
        frames.append(np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8))
        heads.append(face | hair)
        persons.append(torso | neck | face | hair)
        centres.append(centre)
        mouths.append((mouth > 0) & (opening > 0))
        points.append(pts)
    return tuple(np.stack(each) for each in (frames, heads, persons, centres, mouths, points)) + (background,)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    frames, heads, persons, centres, mouths, points, background = _draw()
    folder: Path = tmp_path_factory.mktemp("segmentation")
    with frame_writer(folder / "frames.u8", (SIZE, SIZE, 3)) as out:
        for frame in frames:
            out.append(frame)
    with frame_writer(folder / "persons.u8", (256, 256, 1)) as out:
        for person in persons:
            # As coarse and as soft as the network: half the resolution, blurred.
            coarse = cv2.resize(person.astype(np.float32) * 255, (96, 96), interpolation=cv2.INTER_AREA)
            out.append(
                cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 1.5), (256, 256)).round().astype(np.uint8)[..., None]
            )
    np.save(folder / "points.npy", points.astype(np.float32))
    return Drawn(frames, heads, persons, background, centres, mouths, _segment(folder, folder), folder)


def _segment(folder: Path, out: Path, parser: FrameParser | None = None) -> Segmentation:
    """Second and third pass on the drawn clip in ``folder``."""
    points = np.load(folder / "points.npy", allow_pickle=False)
    landmarks = Landmarks(points, np.ones(N, bool), SIZE)
    eye = np.tile(np.eye(3, dtype=np.float32), (N, 1, 1))
    nothing = np.zeros((N, 3), np.float32)
    tracking = Tracking(
        eye, nothing, eye[0], SIZE, points[0], np.zeros((1, 478, 3), np.float32),
        np.zeros((N, 1), np.float32), np.ones(N, bool), np.zeros(N, np.float32),
    )  # fmt: skip
    outlines = outlines_of(landmarks, tracking, SIZE)
    stores = FrameStore(folder / "frames.u8"), FrameStore(folder / "persons.u8")
    return segment_persons(*stores, outlines, out, SegmentationConfig(workers=1), QuietProgress(), parser=parser)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def test_person_alpha_is_sharper_than_the_network(drawn: Drawn) -> None:
    """The known background turns a blurred probability into an edge."""
    masks = drawn.result.masks()
    scores = [_iou(masks.read(i)[..., 3] > 127, drawn.persons[i]) for i in range(0, N, 5)]
    assert min(scores) > 0.98
    soft = np.mean([((masks.read(i)[..., 3] > 25) & (masks.read(i)[..., 3] < 230)).sum() for i in range(N)])
    edge = np.mean(
        [(cv2.morphologyEx(p.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3)))).sum() for p in drawn.persons]
    )
    assert soft < edge


def test_head_has_hair_and_no_neck_and_no_shirt(drawn: Drawn) -> None:
    """Where the head ends the neck begins, within the feather of the cut."""
    masks = drawn.result.masks()
    for i in range(0, N, 5):
        head = masks.read(i)[..., 0]
        assert _iou(head > 127, drawn.heads[i]) > 0.95
        below = np.mgrid[:SIZE, :SIZE][0] > drawn.centres[i, 1] + HEIGHT / 2 + 5
        assert head[below].max() < 13
        hair = drawn.heads[i] & (np.mgrid[:SIZE, :SIZE][0] < drawn.centres[i, 1] - HEIGHT / 2)
        assert head[cv2.erode(hair.astype(np.uint8), np.ones((5, 5))) > 0].mean() > 245


def test_mouth_mask_opens_and_shuts(drawn: Drawn) -> None:
    """The inner-lip polygon while it is open; nothing at all while it is shut."""
    masks = drawn.result.masks()
    steady_open = [i for i in range(1, N - 1) if drawn.mouths[i - 1 : i + 2].any((1, 2)).all()]
    steady_shut = [i for i in range(1, N - 1) if not drawn.mouths[i - 1 : i + 2].any()]
    assert steady_open and steady_shut
    for i in steady_open:
        assert _iou(masks.read(i)[..., 1] > 127, drawn.mouths[i]) > 0.8
    for i in steady_shut:
        assert masks.read(i)[..., 1].max() == 0


def test_face_region_is_head_without_mouth(drawn: Drawn) -> None:
    """Face and inside of the mouth never overlap, and the face lies in the head."""
    for i in range(0, N, 7):
        head, mouth, face, _ = np.moveaxis(drawn.result.masks().read(i).astype(int), -1, 0)
        assert (face <= head).all() and (face + mouth <= 255).all()
        assert face.sum() > 0.7 * 255 * _ellipse(drawn.centres[i], (WIDTH / 2, HEIGHT / 2)).sum()


def test_plate_shows_the_background_behind_the_person(drawn: Drawn) -> None:
    """Also where the head covers it in some frames; the camera is found to stand still."""
    plate = drawn.result.plate().astype(float)
    ever_free = (~drawn.persons).sum(0) > N // 3
    clear = cv2.erode(ever_free.astype(np.uint8), np.ones((9, 9))) > 0
    error = np.abs(plate - drawn.background)[clear]
    assert error.mean() < 1.0 and error.max() < 20
    assert drawn.result.static_camera and drawn.result.plate_residual < 4


def test_under_is_the_frame_away_from_the_head(drawn: Drawn) -> None:
    """Not a single pixel changes outside the head and its rim."""
    for i in range(0, N, 5):
        rim = cv2.dilate(drawn.heads[i].astype(np.uint8), np.ones((17, 17))) > 0
        under = drawn.result.under().read(i)
        assert (under[~rim] == drawn.frames[i][~rim]).all()


def test_under_has_no_head_in_it_and_no_hole(drawn: Drawn) -> None:
    """Shift the head by 5 % of the face any way: what comes to light is neck, shirt or background."""
    shift = 0.05 * HEIGHT + 1
    for i in range(0, N, 5):
        under = drawn.result.under().read(i).astype(float)
        head = drawn.heads[i]
        assert (np.abs(under - HAIR).max(-1)[head] < 25).sum() == 0
        assert (np.abs(under - SKIN).max(-1)[head] < 15).sum() == 0
        column = int(round(96))
        chin = int(drawn.centres[i, 1] + HEIGHT / 2)
        uncovered = under[int(chin - shift) : chin + 2, column - 8 : column + 9]
        assert np.abs(uncovered - NECK).mean() < 25, "the neck goes on behind the chin"
        top = int(drawn.centres[i, 1] - 12 - HEIGHT / 2 - 6)
        middle = int(drawn.centres[i, 0])
        behind_hair = under[top : int(top + shift), middle - 8 : middle + 9]
        truth = drawn.background[top : int(top + shift), middle - 8 : middle + 9]
        assert np.abs(behind_hair - truth).mean() < 15, "the background goes on behind the hair"


def test_under_does_not_flicker(drawn: Drawn) -> None:
    """Behind the chin the picture is steadier than the frame, whose head moves there."""
    under = np.stack([drawn.result.under().read(i) for i in range(N)]).astype(float)
    box = np.s_[:, 108:118, 90:103]
    steady = np.abs(np.diff(under[box], axis=0)).mean()
    assert steady < 4
    assert steady < 0.6 * np.abs(np.diff(drawn.frames.astype(float)[box], axis=0)).mean()


def test_jaw_is_part_of_the_oval() -> None:
    """The cut follows the face oval's lower half."""
    assert set(JAW) <= set(OVAL)


def _true_parts(drawn: Drawn, i: int) -> dict[str, np.ndarray]:
    """Which part each pixel of a drawn frame shows; the mouth has no lips, the head no ears."""
    face = _ellipse(drawn.centres[i], (WIDTH / 2, HEIGHT / 2)) & (
        np.mgrid[:SIZE, :SIZE][0] > drawn.centres[i, 1] - 26.5
    )
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    neck = (np.abs(x - 96) < 17) & (y > 100) & (y < 150) & ~drawn.heads[i]
    return {
        "background": ~drawn.persons[i],
        "face": face & ~drawn.mouths[i],
        "hair": drawn.heads[i] & ~face,
        "neck": neck,
        "torso": drawn.persons[i] & ~drawn.heads[i] & ~neck,
    }


def test_parts_are_what_was_drawn(drawn: Drawn) -> None:
    """Every part is found, the hairline across the forehead included; what is sure is right."""
    for i in range(0, N, 7):
        for name, truth in _true_parts(drawn, i).items():
            soft, unsure = drawn.result.part(name, i)
            assert _iou(soft > 127, truth) > 0.85, (i, name)
            assert _iou((soft > 127) & ~unsure, truth & ~unsure) > 0.97, (i, name)


def test_soft_parts_sum_to_one_and_agree_with_the_mattes(drawn: Drawn) -> None:
    """Nothing is lost and nothing twice; the person's matte is what is not background."""
    for i in range(0, N, 9):
        soft = {name: drawn.result.part(name, i)[0].astype(int) for name in PART_NAMES}
        masks = drawn.result.masks().read(i).astype(int)
        assert np.abs(sum(soft.values()) - 255).max() <= 1
        assert (soft["background"] == 255 - masks[..., 3]).all()
        assert (soft["face"] + soft["lips"] == masks[..., 2]).all() and (soft["inner_mouth"] == masks[..., 1]).all()
        assert (drawn.result.part("person", i)[0] == masks[..., 3]).all()
    with pytest.raises(ValueError, match="no part 'nose'"):
        drawn.result.part("nose", 0)


def test_certainty_is_nothing_on_borders_and_full_inside(drawn: Drawn) -> None:
    """The don't-care band lies along the borders and nowhere else."""
    for i in range(0, N, 9):
        label, certainty = np.moveaxis(drawn.result.parts().read(i), -1, 0)
        border = cv2.morphologyEx(label, cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
        assert certainty[border].max() < 130
        wall = cv2.erode((~drawn.persons[i]).astype(np.uint8), np.ones((15, 15))) > 0
        cheek = _ellipse(drawn.centres[i] + [0, 4], (WIDTH / 3.2, HEIGHT / 8))
        assert certainty[wall].min() > 250 and certainty[cheek].min() > 250


class Painter:
    """A parser that knows the drawing."""

    names = PART_NAMES

    def __init__(self, truth: dict[str, np.ndarray]) -> None:
        self.found = np.stack([truth.get(name, np.zeros((SIZE, SIZE), bool)) for name in PART_NAMES], -1)

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        return self.found.astype(np.float32)


def test_a_parser_decides_where_colours_do_not(drawn: Drawn, tmp_path: Path) -> None:
    """Told that the upper shirt is bare skin, the parts say so; the mattes of head and mouth stay."""
    truth = _true_parts(drawn, 0)
    upper = truth["torso"] & (np.mgrid[:SIZE, :SIZE][0] < 165)
    parser = Painter({**truth, "torso": truth["torso"] & ~upper, "neck": truth["neck"] | upper})
    told = _segment(drawn.folder, tmp_path, parser)
    assert (drawn.result.parts().read(0)[..., 0][upper] == PART_NAMES.index("neck")).mean() < 0.2
    assert (told.parts().read(0)[..., 0][upper] == PART_NAMES.index("neck")).mean() > 0.6
    assert np.abs(told.masks().read(0)[..., :2].astype(int) - drawn.result.masks().read(0)[..., :2]).mean() < 1.0
