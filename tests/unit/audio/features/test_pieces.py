"""A long sound is heard in pieces, and nothing tells that it was."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch

from gaussavatar.audio import drive
from gaussavatar.audio.drive import codes_for_audio
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features import pieces
from gaussavatar.audio.features.columns import speech_statistics
from gaussavatar.audio.features.mel import MEL
from gaussavatar.audio.features.registry import open_features
from gaussavatar.errors import UserError
from gaussavatar.media import samples as kept
from gaussavatar.media.samples import finite
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..sounds import long_speech


@pytest.mark.parametrize("samples", [12 * 16_000, 13 * 16_000 + 159, 10 * 16_000 + 1])
def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    sound = Waveform(np.random.default_rng(1).uniform(-1, 1, samples).astype(np.float32), ANALYSIS_RATE)
    whole = MEL.extract(sound)
    for name, seconds in (("WHOLE_SECONDS", 2), ("PIECE_SECONDS", 3), ("MARGIN_SECONDS", 1)):
        monkeypatch.setattr(pieces, name, seconds)
    # A matrix product of another number of rows may differ in its last bit.
    np.testing.assert_allclose(pieces.extract_in_pieces(MEL, sound), whole, atol=2e-5)


def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of three seconds, and no more than a second of features in memory."""
    for name, seconds in (("WHOLE_SECONDS", 2), ("PIECE_SECONDS", 3), ("MARGIN_SECONDS", 1)):
        monkeypatch.setattr(pieces, name, seconds)
    monkeypatch.setattr(kept, "IN_MEMORY", 100)


@pytest.mark.parametrize("names", [("mel",), ("mel", "viseme")])
def test_what_lies_in_a_file_has_the_same_statistics(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    feature, sound = open_features(names), long_speech()
    in_small_pieces(monkeypatch)
    far = pieces.extract_in_pieces(feature, sound)
    assert isinstance(far, np.memmap) and far.shape == (2401, feature.facts.dimension)
    near, told = feature.statistics(np.array(far)), feature.statistics(far)
    for name in ("mean", "std", "floor", "quiet"):
        np.testing.assert_array_equal(getattr(told, name), getattr(near, name))


@pytest.mark.parametrize("size", [100, 1000, 8192])
def test_statistics_do_not_depend_on_the_stretches(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    rng = np.random.default_rng(0)
    raw, activity = rng.standard_normal((3000, 5)) * [1, 2, 3, 4, 5] + 7, rng.uniform(0, 1, 3000)
    monkeypatch.setattr(kept.stretches, "__defaults__", (size,))
    told = speech_statistics(raw.astype(np.float32), activity, 1.0)
    # A mixture of 75 % speech and 25 % pauses, worked out at once.
    weights = 0.75 * activity / activity.sum() + 0.25 * (1 - activity) / (1 - activity).sum()
    mean = weights @ raw
    np.testing.assert_allclose(told.mean, mean, atol=1e-5)
    std = np.sqrt((3000 * (weights @ (raw - mean) ** 2) + 25) / 3025)
    np.testing.assert_allclose(told.std, std, atol=1e-5)
    viseme, mouth = open_features(("viseme",)), rng.standard_normal((3000, 29)).astype(np.float32)
    active = 1 / (1 + np.exp(-mouth[:, -1:].astype(float)))
    mean = (active * mouth[:, :24]).sum(0) / (active.sum() + 100)
    std = np.sqrt(((active * (mouth[:, :24] - mean) ** 2).sum(0) + 100) / (active.sum() + 100))
    np.testing.assert_allclose(viseme.statistics(mouth).mean[:24], mean, atol=1e-6)
    np.testing.assert_allclose(viseme.statistics(mouth).std[:24], std, atol=1e-6)


def test_codes_of_a_sound_in_files_are_those_of_one_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder, sound = AudioEncoder(EncoderConfig(4, hidden=8, own_range=True)).eval(), long_speech()
    closed = np.zeros(4, np.float32)
    whole = codes_for_audio(encoder, sound, closed=closed)
    in_small_pieces(monkeypatch)
    monkeypatch.setattr(drive, "STRETCH", 70)
    far = kept.LongArray()
    far.add(sound.samples)
    mapped = Waveform(far.array(), sound.rate)
    assert isinstance(mapped.samples, np.memmap)
    np.testing.assert_allclose(codes_for_audio(encoder, mapped, closed=closed), whole, atol=1e-5)


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(prefix: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept, "IN_MEMORY", 10)
    monkeypatch.setattr(kept.tempfile, "TemporaryFile", full)
    rows = kept.LongArray((4,))
    with pytest.raises(UserError, match="room for temporary files"):
        rows.add(np.zeros((5, 4), np.float32))


def test_a_number_that_is_none_is_found_anywhere() -> None:
    samples = np.zeros((1 << 20) + 5, np.float32)
    assert finite(samples)
    samples[-1] = np.inf
    assert not finite(samples)
