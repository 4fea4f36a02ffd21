"""An avatar that every test of live sessions speaks with."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaussavatar.avatar.avatar import Avatar, load_avatar


@pytest.fixture(scope="module")
def avatar(toy_avatar: Path) -> Avatar:
    return load_avatar(toy_avatar)
