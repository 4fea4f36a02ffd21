"""The exported page in another browser: Firefox opens it from disk and draws it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaussavatar.export.registry import export_avatar

from .firefox import find_firefox, firefox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_firefox() is None, reason="no Firefox on this machine"),
]
"""Starts a browser: ten seconds."""

AVATAR = "document.querySelector('gauss-avatar')"


def test_the_page_opens_from_disk_and_moves(toy_avatar: Path, tmp_path: Path) -> None:
    path, _ = export_avatar(toy_avatar, "web", tmp_path / "page.html", tell=lambda _: None)
    with firefox() as page:
        page.open(path.as_uri())
        assert page.wait_for(f"{AVATAR}?.drawnBy") in ("gl", "cpu")
        picture = (
            f"{AVATAR}.picture().then(({{ data }}) => data.reduce((sum, v, i) => (sum + v * (1 + i % 97)) % 1e9, 0))"
        )
        first = page.evaluate(picture)
        assert page.wait_for(f"{picture}.then((sum) => sum !== {first})")
        assert "synthetic" in page.evaluate("document.body.innerText")
