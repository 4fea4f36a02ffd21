"""Neck and shoulders without training: as filmed from where was filmed, and without a gap from elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.model.torso import Torso
from gaussavatar.motion.viewpoint import orbited
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices, skull_joint
from gaussavatar.training.data import Clip
from gaussavatar.training.shoulders import BACK, lay_shoulders
from gaussavatar.training.torso_branch import carried_below
from gaussavatar.types import Camera, Cameras

SIZE = 96
COLLAR = 0.17
"""Metres below the builtin head's origin where its shirt begins."""
K = np.array([[110, 0, 48], [0, 110, 40], [0, 0, 1]], np.float32)
PLACE, CLOTH, SKIN, FACE = (40, 200, 40), (30, 40, 160), (210, 150, 120), (250, 250, 250)


def parts() -> np.ndarray:
    """What each of the builtin head's triangles is: 0 head, 1 neck, 2 shirt."""
    head = builtin_head()
    below = carried_below(head.skin_weights.argmax(axis=1), head.joint_parents, skull_joint(head))
    shirt = head.template[head.triangles][..., 1].mean(axis=1) > COLLAR
    return np.where(below[head.triangles].all(axis=1), 1 + shirt, 0)


def painted(vertices: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture of the head in flat colours; where head, and where neck or shirt are nearest."""
    T = camera.T_camera_world
    posed, triangles = vertices @ T[:3, :3].T + T[:3, 3], builtin_head().triangles
    seen = rasterize_mesh(posed[None], triangles, camera.K.astype(float), SIZE, SIZE)
    index = seen.triangle_index[0]
    part = np.where(index >= 0, parts()[index.clip(0)], 3)
    return np.array([FACE, SKIN, CLOTH, PLACE], np.uint8)[part], part == 0, (part == 1) | (part == 2)


@pytest.fixture(scope="module")
def person(tiny_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, HeadTrack, np.ndarray]:
    """A clip of the builtin head that holds still, its track, and its vertices in camera space."""
    head, n = builtin_head(), len(tiny_clip)
    still = np.zeros((n, len(head.expression_names)), np.float32)
    joints = np.zeros((n, len(head.joint_names), 3), np.float32)
    track = HeadTrack(head, "builtin", np.zeros(0, np.float32), still, joints, np.zeros(n, np.float32))
    t = np.tile(np.float32([0, 0, 0.5]), (n, 1))
    tracking = replace(tiny_clip.tracking, t_camera_head=t, K=K, size=SIZE)
    vertices = camera_vertices(track, tracking, np.array([0]))[0]
    frame, is_head, body = painted(vertices, Camera(np.eye(4, dtype=np.float32), K, SIZE, SIZE))
    under = np.where(is_head[..., None], np.uint8(PLACE), frame)
    folder = tmp_path_factory.mktemp("person")
    masks = np.stack([is_head, np.zeros_like(body), is_head, is_head | body], axis=-1).astype(np.uint8) * 255
    pictures = {"frames": frame, "masks": masks, "under": under}
    with ExitStack() as stack:
        for name, picture in pictures.items():
            writer = stack.enter_context(frame_writer(folder / f"{name}.u8", picture.shape))
            for _ in range(n):
                writer.append(picture)
    stores = {name: FrameStore(folder / f"{name}.u8") for name in pictures}
    return replace(tiny_clip, **stores, size=SIZE, tracking=tracking), track, vertices


def laid(person: tuple[Clip, HeadTrack, np.ndarray], seed: int) -> Torso:
    torso = lay_shoulders(*person[:2], np.broadcast_to(np.uint8(PLACE), (SIZE, SIZE, 3)), seed)
    assert torso is not None
    return torso


@pytest.fixture(scope="module")
def torso(person: tuple[Clip, HeadTrack, np.ndarray]) -> Torso:
    return laid(person, 0)


def seen_from(torso: Torso, yaw: float, pitch: float) -> tuple[np.ndarray, np.ndarray, Camera]:
    """Colour and alpha of the torso from a camera that is turned about the head."""
    filming = Camera(np.eye(4, dtype=np.float32), K, SIZE, SIZE)
    camera = orbited(filming, np.array([0, 0, 0.5]), np.radians(yaw), np.radians(pitch))
    T = torch.from_numpy(camera.T_camera_world)[None] @ torso.poses(torch.zeros(1, 12))
    loaded = LoadedTorso(torso, T.detach().numpy())
    drawn = loaded.draw(get_rasterizer("cpu"), Cameras(T.detach(), torch.from_numpy(K)[None], SIZE, SIZE))
    return drawn.rgb[0].numpy() * 255, drawn.alpha[0].numpy(), camera


def inner(mask: np.ndarray, by: int = 2) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)) > 0


def test_from_where_was_filmed_it_is_the_frame(person: tuple[Clip, HeadTrack, np.ndarray], torso: Torso) -> None:
    clip, _, _ = person
    rgb, alpha, _ = seen_from(torso, 0, 0)
    masks = clip.masks.read(0) > 127
    head, body = masks[..., 0], masks[..., 3] & ~masks[..., 0]
    assert np.abs(rgb - clip.under.read(0))[inner(body)].mean() < 12
    assert alpha[inner(body)].min() > 0.9 and alpha[inner(~(head | body), 3)].max() < 0.1


@pytest.mark.parametrize(("yaw", "pitch"), [(25, 0), (-25, 0), (30, -15), (0, -20), (0, 15)])
def test_from_elsewhere_neck_and_shoulders_are_there(
    person: tuple[Clip, HeadTrack, np.ndarray], torso: Torso, yaw: float, pitch: float
) -> None:
    rgb, alpha, camera = seen_from(torso, yaw, pitch)
    truth, head, body = painted(person[2], camera)
    # What is below the picture that was filmed, or beside it, is there too.
    assert body.sum() > 800 and (alpha[inner(body)] > 0.8).mean() > 0.97
    assert alpha[inner(~(head | body), 4)].max() < 0.5, "nothing sticks out"
    within = inner(body) & (alpha > 0.8)
    wrong = np.abs(rgb - truth).max(axis=2)[within] > 60
    assert wrong.mean() < 0.12, "cloth is cloth and skin is skin"


def test_there_is_no_gap_between_jaw_and_neck(person: tuple[Clip, HeadTrack, np.ndarray], torso: Torso) -> None:
    _, alpha, camera = seen_from(torso, 25, -15)
    _, head, body = painted(person[2], camera)
    # Where the head ends above the neck, the neck goes on behind it.
    border = head & (cv2.dilate(body.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0) & inner(head | body, 3)
    assert border.sum() > 30 and (alpha[border] > 0.8).mean() > 0.9


def test_without_a_torso_in_the_picture_there_is_none(
    person: tuple[Clip, HeadTrack, np.ndarray], tmp_path: Path
) -> None:
    clip, track, _ = person
    with frame_writer(tmp_path / "masks.u8", (SIZE, SIZE, 4)) as writer:
        for index in range(len(clip)):
            writer.append(clip.masks.read(index) * np.uint8([1, 1, 1, 0]))
    bare = replace(clip, masks=FrameStore(tmp_path / "masks.u8"))
    plate = np.broadcast_to(np.uint8(PLACE), (SIZE, SIZE, 3))
    assert lay_shoulders(bare, track, plate, 0) is None


def test_the_seed_places_only_what_the_frame_does_not_show(
    person: tuple[Clip, HeadTrack, np.ndarray], torso: Torso
) -> None:
    other = laid(person, 1)
    same = (other.gaussians.means == torso.gaussians.means).all(dim=1)
    assert 0 < int((~same).sum()) <= BACK and bool(same[:-BACK].all())
