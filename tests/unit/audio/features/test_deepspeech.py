"""DeepSpeech's columns from a file beside the sound, and that file's way through a capture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig
from gaussavatar.audio.features.beside import check_beside, copy_beside, files_beside
from gaussavatar.audio.features.deepspeech import BLANK, COLUMNS, DEEPSPEECH, build
from gaussavatar.audio.features.pieces import extract_in_pieces
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

NAMES = ("mel", "deepspeech")


def sound(folder: Path, seconds: float = 4.0) -> Waveform:
    return Waveform(np.zeros(round(seconds * ANALYSIS_RATE), np.float32), ANALYSIS_RATE, folder / "talk.wav")


def letters(rows: int) -> np.ndarray:
    """Logits: letters in the first half, then blank."""
    out = np.random.default_rng(0).standard_normal((rows, COLUMNS)).astype(np.float32)
    out[::10, 5] += 12.0
    out[rows // 2 :, BLANK] += 20.0
    return out


def test_the_rows_beside_the_sound_are_the_feature(tmp_path: Path) -> None:
    rows = letters(200)
    np.save(tmp_path / "talk.deepspeech.npy", rows)
    raw = build().extract(sound(tmp_path))
    np.testing.assert_array_equal(raw[:200], rows)
    assert raw.shape == (201, COLUMNS)  # One more than the file has; the last one is held.
    active = DEEPSPEECH.activity(raw)
    assert active[5:90].min() == 1 and active[115:].max() == 0
    batcher = AudioBatcher(DEEPSPEECH, sound(tmp_path), BatchConfig(versions=3, plain_versions=1))
    quiet = batcher.silence(40, torch.Generator().manual_seed(0))
    spoken = batcher.clean(torch.arange(10, 40))
    assert torch.isfinite(quiet).all() and quiet[..., BLANK].mean() > spoken[..., BLANK].mean() + 0.5


def test_a_long_sound_in_pieces_reads_its_own_rows(tmp_path: Path) -> None:
    seconds = 700
    np.save(tmp_path / "talk.deepspeech.npy", np.repeat(np.arange(seconds * 50, dtype=np.float32)[:, None], COLUMNS, 1))
    raw = extract_in_pieces(DEEPSPEECH, sound(tmp_path, seconds))
    np.testing.assert_array_equal(raw[:-1, 3], np.arange(seconds * 50))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (np.zeros((200, 28), np.float32), r"float32 of shape \(200, 28\)"),
        (np.zeros((100, 16, 29), np.float32), r"shape \(100, 16, 29\)"),
        (np.zeros((200, 29), complex), "complex128"),
        (np.zeros((0, 29), np.float32), r"shape \(0, 29\)"),
        (np.where(np.eye(200, 29, -7) > 0, np.nan, 0.0), "nan in row 7, column 0"),
        (np.array([{"a": 1}], dtype=object), "no plain .npy"),
        (b"not an array", "no plain .npy"),
        (b"", "no plain .npy"),
        (np.zeros((50, 29), np.float32), "about 201 rows .* got 50 rows: 1.0 s"),
        (np.zeros((400, 29), np.float32), "about 201 rows .* got 400 rows"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "talk.deepspeech.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(UserError, match=words) as told:
        DEEPSPEECH.extract(sound(tmp_path))
    assert "\n" not in str(told.value)
    if "rows" not in words:
        with pytest.raises(UserError, match=words):
            check_beside(NAMES, tmp_path / "talk.mp4")


def test_a_sound_that_was_not_read_from_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got a sound without a file"):
        DEEPSPEECH.extract(Waveform(np.zeros(16000, np.float32), ANALYSIS_RATE))
    with pytest.raises(UserError, match="live sound"):
        DEEPSPEECH.stream()


def test_the_file_goes_with_its_sound_and_moves_with_it(tmp_path: Path) -> None:
    rows = letters(200)
    np.save(tmp_path / "a.b.deepspeech.npy", rows)
    video, audio = tmp_path / "a.b.mp4", tmp_path / "capture" / "audio.wav"
    audio.parent.mkdir()
    assert files_beside(NAMES, video) == {"deepspeech": tmp_path / "a.b.deepspeech.npy"}
    assert files_beside(("mel",), video) == {}
    copy_beside(NAMES, video, audio, 40.0)
    moved = np.load(tmp_path / "capture" / "audio.deepspeech.npy")
    np.testing.assert_allclose(moved[:-2], rows[2:], atol=1e-6)
    copy_beside(NAMES, video, audio, -10.0)
    moved = np.load(tmp_path / "capture" / "audio.deepspeech.npy")
    np.testing.assert_allclose(moved[1:], (rows[1:] + rows[:-1]) / 2, atol=1e-5)
