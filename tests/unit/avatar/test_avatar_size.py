"""What is stored with fewer bits changes no picture by more than a grey level."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from gaussavatar.avatar.folder import WEIGHTS, write_record
from gaussavatar.avatar.load import load_avatar
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.training.publish import compact


def pictures(folder: Path) -> np.ndarray:
    avatar = load_avatar(folder)
    codes = np.linspace(-2, 2, 6 * len(avatar.closed), dtype=np.float32).reshape(6, -1)
    upper = np.linspace(0, 1, 6 * len(avatar.upper_names), dtype=np.float32).reshape(6, -1)
    poses = avatar.filmed.T_camera_world[:6]
    return avatar.render(codes, upper, poses, np.tile(avatar.K, (6, 1, 1)), avatar.size).astype(int)


def test_blendshapes_of_16_bits_show_the_same_person(toy_avatar: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    shutil.copytree(toy_avatar, small)
    arrays, _ = read_arrays(small / WEIGHTS)
    stored = compact(arrays)
    halved = {name for name, array in stored.items() if array.dtype == np.float16}
    assert halved == {"model.avatar.face.motion.basis", "model.avatar.mouth.motion.basis"}
    assert stored.keys() == arrays.keys() and all(stored[name] is arrays[name] for name in arrays.keys() - halved)
    write_arrays(small / WEIGHTS, stored)
    write_record(small, load_avatar(toy_avatar).record)
    assert np.abs(pictures(small) - pictures(toy_avatar)).max() <= 1
    assert next(load_avatar(small).model.parameters()).dtype.is_floating_point
    assert {str(value.dtype) for value in load_avatar(small).model.state_dict().values()} == {"torch.float32"}
