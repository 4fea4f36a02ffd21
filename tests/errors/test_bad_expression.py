"""Movements that an avatar does not have are refused by name; weights that do not fit, in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.load import load_avatar
from gaussavatar.errors import UserError


def test_a_movement_of_an_avatar_without_a_head(toy_avatar: Path) -> None:
    avatar = load_avatar(toy_avatar)
    assert avatar.expression_names == ()
    with pytest.raises(UserError, match="binding = head"):
        avatar.activated(avatar.closed.numpy(), np.zeros(3, np.float32), {"jawOpen": 1.0})


def test_weights_of_a_design_that_has_changed(toy_avatar: Path, tmp_path: Path) -> None:
    folder = tmp_path / "avatar"
    shutil.copytree(toy_avatar, folder)
    header = json.loads((folder / "avatar.json").read_text())
    header["model"]["face"]["deformation"] = "triplane"
    (folder / "avatar.json").write_text(json.dumps(header))
    with pytest.raises(UserError, match="fit the avatar again"):
        load_avatar(folder)
