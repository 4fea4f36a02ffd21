"""A fit never takes the folder of another video's avatar."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gaussavatar.errors import UserError
from gaussavatar.fitting.ownership import owner_of, settled, write_owner
from gaussavatar.fitting.request import FitRequest
from gaussavatar.progress import QuietProgress
from gaussavatar.training.layout import FitLayout


class Told(QuietProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two videos of one name."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "me.mp4").write_bytes(name.encode() * 100)
    return Path("a/me.mp4"), Path("b/me.mp4")


def fitted(request: FitRequest) -> FitRequest:
    found = settled(request, "avatars", Told())
    assert found.out is not None
    found.out.mkdir(parents=True, exist_ok=True)
    write_owner(found, FitLayout(found.out))
    return found


def test_another_video_of_the_same_name_gets_a_folder_of_its_own(videos: tuple[Path, Path]) -> None:
    first = fitted(FitRequest(videos[0], subject="Person A", consent="written"))
    assert first.out == Path("avatars/me")
    told = Told()
    other = settled(FitRequest(videos[1]), "avatars", told)
    assert other.out == Path("avatars/me-2") and "me-2" in told.lines[0]
    # Which it finds again, and the first one its own, with what was said of the person.
    fitted(other)
    assert settled(FitRequest(videos[1]), "avatars", Told()).out == Path("avatars/me-2")
    again = settled(FitRequest(videos[0]), "avatars", Told())
    assert (again.out, again.subject, again.consent) == (Path("avatars/me"), "Person A", "written")
    assert settled(FitRequest(videos[0], subject="Someone else"), "avatars", Told()).subject == "Someone else"


def test_a_named_folder_of_another_video_is_refused_unless_it_may_be_replaced(videos: tuple[Path, Path]) -> None:
    fitted(FitRequest(videos[0], Path("here"), subject="Person A"))
    wanted = FitRequest(videos[1], Path("here"))
    with pytest.raises(UserError, match="Person A"):
        settled(wanted, "avatars", Told())
    replaced = settled(replace(wanted, replace=True), "avatars", Told())
    assert replaced.out == Path("here") and replaced.subject == "unknown"


def test_an_avatar_from_before_this_was_written_down_is_somebodys(videos: tuple[Path, Path]) -> None:
    folder = Path("avatars/me")
    folder.mkdir(parents=True)
    header = {"source": "me.mp4", "subject": "Person A", "consent": "written"}
    (folder / "avatar.json").write_text(json.dumps(header))
    owner = owner_of(folder)
    assert owner is not None and (owner.name, owner.subject) == ("me.mp4", "Person A")
    assert settled(FitRequest(videos[1]), "avatars", Told()).out == Path("avatars/me-2")
