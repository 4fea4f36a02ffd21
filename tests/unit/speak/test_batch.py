"""Several sounds with one avatar, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaussavatar.avatar import load
from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.speak.batch import names_of, speak_each


def test_one_failure_does_not_lose_the_others(
    toy_avatar: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened, real = [], load.open_folder
    monkeypatch.setattr(load, "open_folder", lambda folder: opened.append(folder) or real(folder))
    (tmp_path / "bad.wav").write_text("no sound")
    words = ["speak", "--audio", str(sound), "gone.wav", "bad.wav", str(sound), "--avatar", str(toy_avatar)]
    code = run([*words, "--out", "talks", "--to", "0.4", "--save-motion", "motions"])
    told = capsys.readouterr()
    assert code == 2 and len(opened) == 1
    assert sorted(path.name for path in (tmp_path / "talks").iterdir()) == ["toy-said-2.mp4", "toy-said.mp4"]
    assert sorted(path.name for path in (tmp_path / "motions").iterdir()) == ["said-2.safetensors", "said.safetensors"]
    assert told.out.splitlines() == ["video: talks/toy-said.mp4", "video: talks/toy-said-2.mp4"]
    errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 and "gone.wav" in errors[0] and "bad.wav" in errors[1]
    assert "2 of 4 sounds" in told.err


def test_all_well_is_code_0(toy_avatar: Path, sound: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    words = ["speak", "--audio", str(sound), str(sound), "--avatar", str(toy_avatar), "--to", "0.2", "--out", str(out)]
    assert run(words) == 0 and len(list(out.iterdir())) == 2


def test_names_are_told_apart() -> None:
    assert names_of([Path("a/x.wav"), Path("b/x.wav"), Path("y.mp3"), Path("c/x.mp3")]) == ["x", "x-2", "y", "x-3"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="writable"):
        list(speak_each([], lambda audio, name: audio, tmp_path / "file" / "below"))
