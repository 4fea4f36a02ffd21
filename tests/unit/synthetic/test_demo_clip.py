"""The demo's clip is made once, and again when it is not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.fitting import demo as run
from gaussavatar.progress import QuietProgress
from gaussavatar.synthetic.actor import load_truth, make_actor_clip


@pytest.fixture(autouse=True)
def short_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CLIP_SECONDS", 1.0)
    monkeypatch.setattr(run, "CLIP_SIZE", 64)


def check_made_again(clip: Path, folder: Path) -> None:
    """The same seed makes the same clip."""
    again = make_actor_clip(folder, run.CLIP_SECONDS, run.ACTOR_SEED, run.CLIP_SIZE)
    assert again.video.read_bytes() == clip.read_bytes()
    np.testing.assert_array_equal(again.landmarks, load_truth(clip.with_name("truth.safetensors")).landmarks)


class MadeAgain(Exception):
    """Raised in place of drawing the actor a second time, which takes long."""


@pytest.mark.long
def test_clip_is_kept_when_whole_and_made_again_when_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long: it draws the actor twice."""

    def make_again(*_: object, **__: object) -> None:
        raise MadeAgain

    clip = run._clip(tmp_path, QuietProgress())
    check_made_again(clip, tmp_path / "again")
    monkeypatch.setattr(run, "make_actor_clip", make_again)
    assert run._clip(tmp_path, QuietProgress()) == clip
    with monkeypatch.context() as changed, pytest.raises(MadeAgain):
        changed.setattr(run, "CLIP_SIZE", 96)
        run._clip(tmp_path, QuietProgress())
    truth = tmp_path / "truth.safetensors"
    whole = truth.read_bytes()
    truth.write_bytes(whole[:100])
    with pytest.raises(MadeAgain):
        run._clip(tmp_path, QuietProgress())
    truth.write_bytes(whole)
    clip.unlink()
    with pytest.raises(MadeAgain):
        run._clip(tmp_path, QuietProgress())


def test_english_needs_the_speech_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run._say_english(tmp_path / "english.wav") is None
    engine = tmp_path / "espeak-ng"
    engine.write_text('#!/bin/sh\nwhile [ "$1" != -w ]; do shift; done\necho said > "$2"\n')
    engine.chmod(0o755)
    said = run._say_english(tmp_path / "english.wav")
    assert said is not None and said.read_text() == "said\n"
    engine.write_text("#!/bin/sh\nexit 1\n")
    assert run._say_english(tmp_path / "english.wav") is None
