"""Who draws what the verb `view` is asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gaussavatar.cli.view import View
from gaussavatar.view import pages, server


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Whom the verb calls, with what."""
    calls: list[tuple[str, Any]] = []
    monkeypatch.setattr(pages, "serve_pages", lambda wish, browser: calls.append(("player", wish)))
    monkeypatch.setattr(server, "serve", lambda *given: calls.append(("server", given)))
    return calls


def test_the_page_draws_what_it_can(toy_avatar: Path, asked: list[tuple[str, Any]]) -> None:
    View(avatars=(toy_avatar, toy_avatar)).run()
    View(avatar=toy_avatar, mode="stream").run()
    assert [who for who, _ in asked] == ["player", "server"]
    assert asked[0][1].folders == (toy_avatar, toy_avatar) and asked[1][1][4] == "stream"


def test_movements_by_name_are_drawn_here(
    toy_avatar: Path, tmp_path: Path, asked: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    bound = tmp_path / "bound"
    shutil.copytree(toy_avatar, bound)
    header = json.loads((bound / "avatar.json").read_text())
    (bound / "avatar.json").write_text(json.dumps(header | {"expression_names": ["jawOpen"]}))
    View(avatars=(bound,)).run()
    assert asked[0][0] == "server" and asked[0][1][0] == bound and asked[0][1][4] == "stream"
    assert "movements by name" in "".join(capsys.readouterr())
