"""Movements that an avatar does not have are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.player import load_avatar
from gaussavatar.errors import UserError


def test_a_movement_of_an_avatar_without_a_head(toy_avatar: Path) -> None:
    avatar = load_avatar(toy_avatar)
    assert avatar.expression_names == ()
    with pytest.raises(UserError, match="binding = head"):
        avatar.activated(avatar.closed.numpy(), np.zeros(3, np.float32), {"jawOpen": 1.0})
