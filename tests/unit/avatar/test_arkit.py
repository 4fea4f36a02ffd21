"""ARKit's curves drive an avatar and are written from its motions, with a map of its own and without one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import lsq_linear

import gaussavatar
from gaussavatar.avatar.arkit import ArkitMap, head_turns, seen_codes, softly_within, stored_map, within_one
from gaussavatar.errors import UserError
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS, ArkitCurves
from gaussavatar.motion.poses import deviations, mean_pose
from gaussavatar.storage import read_arrays, write_arrays


def index(name: str) -> int:
    return ARKIT_EXPRESSIONS.index(name)


def speaking(n: int = 60, fps: float = 30.0) -> ArkitCurves:
    values = np.zeros((n, 52), np.float32)
    values[:, index("jawOpen")] = 0.3 * np.sin(np.arange(n) / 5) ** 2
    values[20:24, [index("eyeBlinkLeft"), index("eyeBlinkRight")]] = 1
    return ArkitCurves(values, fps)


def test_beyond_what_was_seen_the_mouth_goes_ever_slower_and_never_turns() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(2000, 3)) * [3.0, 1.0, 0.2] + [1, 0, 0]
    mean, whiten, reach = seen_codes(seen)
    assert np.allclose(np.cov(((seen - mean) @ whiten).T), np.eye(3), atol=0.05)
    ray = mean + np.linspace(0, 40, 401)[:, None] * np.array([1.0, 0.5, 0.0])
    made = softly_within(ray, mean, whiten, reach)
    away = np.linalg.norm((made - mean) @ whiten, axis=1)
    assert (np.diff(away) >= -1e-4).all() and away[-1] == pytest.approx(reach[1], rel=1e-3)
    assert np.allclose(made[away < 0.99 * reach[0]], ray[away < 0.99 * reach[0]], atol=1e-4)
    assert (np.abs(softly_within(seen, mean, whiten, reach) - seen).max(axis=1) < 1e-5).mean() > 0.89


def test_the_nearest_shapes_between_none_and_all_are_found() -> None:
    rng = np.random.default_rng(0)
    rows, wanted = rng.normal(size=(9, 6)), rng.normal(size=(5, 6))
    found = within_one(wanted, rows)
    for row, aim in zip(found, wanted, strict=True):
        best = lsq_linear(rows.T, aim, (0, 1)).x
        assert np.linalg.norm(row @ rows - aim) < np.linalg.norm(best @ rows - aim) + 0.02
    assert found.min() >= 0 and found.max() <= 1


def test_an_avatar_without_a_map_opens_its_lips_and_shuts_its_lids(toy_avatar: Path) -> None:
    avatar = gaussavatar.load_avatar(toy_avatar)
    assert avatar.loaded.arkit is None
    curves = speaking()
    motion = avatar.motion_from(curves)
    assert (len(motion), motion.fps) == (60, 30) and motion.upper_names == avatar.upper_names
    opening = motion.mouth_codes @ avatar.loaded.mouth_open_direction
    jaw = curves.values[:, index("jawOpen")]
    assert np.corrcoef(opening, jaw)[0, 1] > 0.99
    assert (motion.upper[20:24, :2] > 0.9).all() and motion.upper[10, 0] < 0.1
    back = avatar.curves_of(motion)
    assert np.corrcoef(back.values[:, index("jawOpen")], jaw)[0, 1] > 0.95
    assert (back.values[20:24, index("eyeBlinkLeft")] > 0.9).all()
    assert next(avatar.frames(motion)).shape == (96, 96, 3)


def test_a_file_of_curves_drives_an_avatar_and_its_head(toy_avatar: Path, tmp_path: Path) -> None:
    avatar = gaussavatar.load_avatar(toy_avatar)
    head = np.stack([0.2 * np.sin(np.arange(60) / 9), np.zeros(60), np.zeros(60)], 1).astype(np.float32)
    gaussavatar.write_curves(tmp_path / "c.csv", replace(speaking(), head=head))
    motion = avatar.motion_from(tmp_path / "c.csv")
    turned = deviations(motion.T_camera_world, mean_pose(avatar.filmed.T_camera_world))[:, :3]
    assert np.allclose(turned, head_turns(head - np.median(head, axis=0)), atol=1e-4)
    face = motion.T_camera_world[np.argmax(head[:, 0]), :3, :3] @ [0, 0, -1]
    assert face[0] > 0.1, "a positive yaw turns the face to the picture's right"
    written = avatar.curves_of(motion)
    assert written.head is not None and np.abs((written.head - head) - (written.head - head).mean(0)).max() < 1e-4


def own_map(n_codes: int = 4, n_upper: int = 3) -> ArkitMap:
    rng = np.random.default_rng(0)
    mouth, upper = np.zeros((52, n_codes), np.float32), np.zeros((52, n_upper), np.float32)
    mouth[[index("jawOpen"), index("mouthFunnel")]] = rng.normal(size=(2, n_codes))
    upper[index("eyeBlinkLeft"), 0] = 1.2
    ones = np.ones(n_codes, np.float32)
    reach = np.array([90, 99], np.float32)
    seen = (0 * ones, np.eye(n_codes, dtype=np.float32), reach)
    return ArkitMap(0 * ones, np.zeros(n_upper, np.float32), mouth, upper, *seen, ones)


def test_an_avatar_keeps_its_own_map(toy_avatar: Path, tmp_path: Path) -> None:
    from gaussavatar.avatar.folder import WEIGHTS, write_record
    from gaussavatar.avatar.record import record_from_plain
    from gaussavatar.storage import read_json

    folder = tmp_path / "own"
    shutil.copytree(toy_avatar, folder)
    arrays, _ = read_arrays(folder / WEIGHTS)
    assert stored_map(arrays) is None
    write_arrays(folder / WEIGHTS, {**arrays, **own_map().arrays()})
    record = record_from_plain(read_json(folder / "avatar.json"), folder)
    write_record(folder, record)
    avatar = gaussavatar.load_avatar(folder)
    assert avatar.loaded.arkit is not None
    wanted = own_map().face(speaking().values)[0]
    assert np.allclose(avatar.motion_from(speaking()).mouth_codes, wanted, atol=1e-6)


def test_a_saved_motion_comes_back_with_its_columns_in_the_avatars_order(toy_avatar: Path, tmp_path: Path) -> None:
    avatar = gaussavatar.load_avatar(toy_avatar)
    motion = avatar.filmed
    moved = replace(motion, upper=motion.upper[:, ::-1].copy(), upper_names=motion.upper_names[::-1])
    moved.save(tmp_path / "m.csv")
    again = avatar.motion_from(tmp_path / "m.csv")
    assert again.upper_names == avatar.upper_names and np.array_equal(again.upper, motion.upper)
    replace(motion, upper_names=("blink_left", "blink_right", "wings")).save(tmp_path / "w.csv")
    with pytest.raises(UserError, match="channels that the avatar has, got wings"):
        avatar.motion_from(tmp_path / "w.csv")
