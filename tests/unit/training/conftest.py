"""A tiny clip with known geometry: a coloured ellipsoid face that turns and opens its mouth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.segmentation.records import load_segmentation
from gaussavatar.storage import frame_writer, write_json
from gaussavatar.training.data import Clip, open_clip
from gaussavatar.types import FaceMotion, Landmarks, Tracking

SIZE = 64
COUNT = 44


def face_shape(random: np.random.Generator) -> np.ndarray:
    """478 points on the front of an ellipsoid, with the named points that the code looks up in their places."""
    xy = random.uniform(-1, 1, (478, 2))
    xy *= np.minimum(1, 0.95 / np.linalg.norm(xy, axis=1, keepdims=True))
    from gaussavatar.landmarks.indices import LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_EYE

    for indices, centre, radius in (
        (LIPS_OUTER, (0, 0.45), (0.3, 0.12)),
        (LIPS_INNER, (0, 0.45), (0.22, 0.05)),
        (RIGHT_EYE, (-0.4, -0.2), (0.15, 0.08)),
        (LEFT_EYE, (0.4, -0.2), (0.15, 0.08)),
    ):
        angle = np.linspace(0, 2 * np.pi, len(indices), endpoint=False)
        xy[list(indices)] = np.array(centre) + np.array(radius) * np.column_stack([np.cos(angle), np.sin(angle)])
    xy[234], xy[454] = (-0.95, 0), (0.95, 0)
    depth = -0.06 * np.sqrt(1 - (xy**2).sum(axis=1).clip(0, 0.99))
    return np.column_stack([xy * [0.07, 0.09], depth]).astype(np.float32)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """See :func:`make_tiny_clip`."""
    return make_tiny_clip(tmp_path_factory.mktemp("clip"))


def make_tiny_clip(folder: Path) -> Clip:
    """Frames that a disc of skin with a dark, opening mouth makes; poses sway, codes follow the opening."""
    random = np.random.default_rng(0)
    shape = face_shape(random)
    opening = (0.5 + 0.5 * np.sin(np.arange(COUNT) * 0.9)).astype(np.float32)
    shift = 0.004 * np.sin(np.arange(COUNT) * 0.4)
    K = np.array([[120, 0, 32], [0, 120, 32], [0, 0, 1]], np.float32)
    t = np.column_stack([shift, np.zeros(COUNT), np.full(COUNT, 0.5)]).astype(np.float32)
    R = np.tile(np.eye(3, dtype=np.float32), (COUNT, 1, 1))
    mouth_basis = np.zeros((2, 478, 3), np.float32)
    mouth_basis[0, shape[:, 1] > 0.045, 1] = 0.004
    upper_basis = np.zeros((3, 478, 3), np.float32)
    points = shape[None] + t[:, None] + np.zeros((COUNT, 478, 3), np.float32)
    pixels = points @ K.T
    pixels = np.concatenate([pixels[..., :2] / pixels[..., 2:], points[..., 2:]], axis=-1).astype(np.float32)
    ys, xs = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    stores = {"frames": 3, "masks": 4, "under": 3}
    for name, channels in stores.items():
        with frame_writer(folder / f"{name}.u8", (SIZE, SIZE, channels)) as writer:
            for index in range(COUNT):
                x = 32 + 120 * shift[index] / 0.5
                head = ((xs - x) / 17) ** 2 + ((ys - 32) / 22) ** 2 < 1
                mouth = ((xs - x) / 5) ** 2 + ((ys - 42) / (0.5 + 4 * opening[index])) ** 2 < 1
                under = np.full((SIZE, SIZE, 3), 90, np.uint8)
                frame = under.copy()
                frame[head] = (200, 150, 120)
                frame[mouth] = (60, 20, 20)
                masks = np.stack([head, mouth, head, head], axis=-1).astype(np.uint8) * 255
                writer.append({"frames": frame, "masks": masks, "under": under}[name])
    record = {"size": SIZE, "n_frames": COUNT, "static_camera": True, "plate_residual": 0.0}
    write_json(folder / "segmentation.json", record)
    codes = np.stack([(opening - opening.mean()) / opening.std(), np.zeros(COUNT)], axis=1).astype(np.float32)
    valid = np.ones(COUNT, bool)
    tracking = Tracking(
        R, t, K, SIZE, shape, np.zeros((1, 478, 3), np.float32), np.zeros((COUNT, 1), np.float32), valid,
        np.zeros(COUNT, np.float32),
    )  # fmt: skip
    motion = FaceMotion(
        codes, mouth_basis, np.zeros((COUNT, 3), np.float32), upper_basis, ("blink_left", "blink_right", "wide"),
        opening * 0.1, np.full(COUNT, 0.5, np.float32),
    )  # fmt: skip
    return open_clip(load_segmentation(folder), tracking, motion, Landmarks(pixels, valid, SIZE), 1 / 11)
