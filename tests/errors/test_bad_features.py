"""What a user reads when a fit is to hear what is not here: through the whole command line, before any work."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest


def test_a_model_that_is_not_here(message, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="the extra asr is not installed")
    monkeypatch.setenv("GAUSSAVATAR_HUBERT", str(tmp_path))
    line = message("fit", media / "faceless.mp4", "--set", "audio.features=[mel,hubert]")
    assert "a model for the audio feature hubert" in line and "save_pretrained('hubert')" in line


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (None, "no such file"),
        (np.zeros((350, 16), np.float32), "of shape (350, 16)"),
        (np.zeros(3, object), "no plain"),
    ],
)
def test_a_file_that_has_to_lie_beside_the_video(
    message, media: Path, tmp_path: Path, columns: np.ndarray | None, words: str
) -> None:
    video = tmp_path / "me.mp4"
    shutil.copy(media / "faceless.mp4", video)
    if columns is not None:
        np.save(tmp_path / "me.deepspeech.npy", columns, allow_pickle=True)
    line = message("fit", video, "--set", "audio.features=[mel,deepspeech]")
    assert words in line and "me.deepspeech.npy" in line and "50 rows a second" in line


def test_features_that_cannot_tell_speech_from_pauses_do_not_lead(message, media: Path) -> None:
    for name in ("deepspeech", "pitch"):
        assert f"got {name}; put mel before it" in message(
            "fit", media / "faceless.mp4", "--set", f"audio.features=[{name}]"
        )
