"""The parts of a clip's frames, as the viewer lays them over the real frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from gaussavatar.avatar.load import load_avatar
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.segmentation.parts import HAIR, LIPS, PART_NAMES
from gaussavatar.storage import frame_writer
from gaussavatar.tracking.face.motion import save_motion
from gaussavatar.types import FaceMotion
from gaussavatar.view.masks import PART_COLOURS, SURE, UNSURE, legend, mask_picture, mask_png, parts_of
from gaussavatar.view.shown import Shown

BEFORE = 3
"""Frames of the capture before those of the avatar's filmed track."""


def labels(label: int, size: int, certainty: int = 255) -> np.ndarray:
    return np.broadcast_to(np.uint8([label, certainty]), (size, size, 2)).copy()


def test_each_part_has_its_colour_and_the_background_none() -> None:
    parts = np.uint8([[[0, 255], [HAIR, 255], [HAIR, 20], [0, 20], [200, 255]]])
    picture = mask_picture(parts)[0]
    hair = list(bytes.fromhex(PART_COLOURS["hair"][1:]))
    assert picture[1].tolist() == [*hair, SURE] and picture[2].tolist() == [*hair, UNSURE]
    assert picture[[0, 3, 4], 3].tolist() == [0, 0, 0]
    assert [name for name, _ in legend()] == [name.replace("_", " ") for name in PART_NAMES[1:]]
    assert len({colour for _, colour in legend()}) == len(PART_NAMES) - 1
    decoded = cv2.imdecode(np.frombuffer(mask_png(parts), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decoded[0, 1, 2::-1], hair) and decoded[0, 1, 3] == SURE


def test_masks_are_served_for_the_frame_of_each_place(toy_avatar: Path, tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    shutil.copytree(toy_avatar, folder)
    avatar = load_avatar(folder)
    layout, size, codes = CaptureLayout(folder / "capture"), avatar.size, avatar.filmed.mouth_codes
    count = BEFORE + len(codes)
    before = 9 + np.zeros((BEFORE, codes.shape[1]), np.float32)
    basis, upper = np.zeros((codes.shape[1], 478, 3), np.float32), np.zeros((count, 1), np.float32)
    ones = np.ones(count, np.float32)
    save_motion(
        layout.motion,
        FaceMotion(
            np.concatenate([before, codes]), basis, upper, np.zeros((1, 478, 3), np.float32), ("x",), ones, ones
        ),
    )
    with frame_writer(layout.frames, (size, size, 3)) as frames:
        for _ in range(count):
            frames.append(np.zeros((size, size, 3), np.uint8))
    shown = Shown((folder,), lambda: None)
    shown._put_real(0, avatar)
    assert shown.starts == {0: BEFORE} and shown.at("/mask/0/0.png") is None and shown.listed()[0]["masks"] is None
    with frame_writer(layout.segmentation(size).parts, (size, size, 2)) as parts:
        for frame in range(count):
            parts.append(labels(LIPS if frame == BEFORE else HAIR, size))
    shown._put_real(0, avatar)
    served = [shown.at(f"/mask/0/{place}.png") for place in (0, 1, len(codes) - 1, len(codes))]
    assert served[3] is None and shown.listed()[0]["masks"] == legend()
    drawn = [one.body() for one in served[:3] if one is not None]
    assert drawn == [mask_png(labels(LIPS, size)), *2 * [mask_png(labels(HAIR, size))]]
    assert parts_of(layout.folder, size, count + 1) is None, "masks of another clip"
    layout.segmentation(size).parts.unlink()
    assert parts_of(layout.folder, size, count) is None
