"""The bank of voices: made once, kept on disk, bounded for long recordings, shared by networks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.audio import batches
from gaussavatar.audio.batches import AudioBatcher, BatchConfig, Voice, kept_voices, voices
from gaussavatar.audio.features.join import JoinedFeature
from gaussavatar.audio.features.mel import MEL, MelFeature
from gaussavatar.audio.features.registry import open_features
from gaussavatar.types import Waveform

from .sounds import generator, long_speech


def same(some: list[Voice], others: list[Voice]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(np.array_equal(a.raw, b.raw) and np.array_equal(a.pauses, b.pauses) for a, b in pairs)


CONFIG = BatchConfig(versions=4, plain_versions=2, silence_stretches=3)


def test_voices_are_the_recorded_one_and_others_that_say_the_same() -> None:
    sound = long_speech(6)
    made = list(voices(MEL, sound, CONFIG, 5))
    assert len(made) == 3
    np.testing.assert_allclose(made[0].raw, MEL.extract(sound), atol=0.01)
    loud = [voice.raw.mean(1) for voice in made]
    assert all(voice.pauses.shape[0] == 3 and voice.pauses.mean() < voice.raw.mean() for voice in made)
    for other in loud[1:]:
        assert np.corrcoef(loud[0], other)[0, 1] > 0.7 and not np.allclose(loud[0], other, atol=0.05)
    again = list(voices(MEL, sound, CONFIG, 5))
    assert all(
        np.array_equal(a.raw, b.raw) and np.array_equal(a.pauses, b.pauses) for a, b in zip(made, again, strict=True)
    )


def test_voices_do_not_depend_on_how_many_are_heard_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sound, threads, extract = long_speech(4), torch.get_num_threads(), MelFeature.extract
    meeting = threading.Barrier(3, timeout=20)

    def together(self: MelFeature, waveform: Waveform) -> np.ndarray:
        assert torch.get_num_threads() == 1
        if waveform.seconds > 3:
            meeting.wait()
        return extract(self, waveform)

    monkeypatch.setattr(batches, "usable_cores", lambda: 8)
    with monkeypatch.context() as patch:
        patch.setattr(MelFeature, "extract", together)
        many = list(voices(MEL, sound, CONFIG, 3))
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(batches, "usable_cores", lambda: 1)
    assert same(many, list(voices(MEL, sound, CONFIG, 3)))


def test_a_bank_is_kept_on_disk_and_made_anew_for_another_key(tmp_path: Path) -> None:
    sound, path, calls = long_speech(3), tmp_path / "bank.safetensors", []

    def make():
        calls.append(1)
        return voices(MEL, sound, CONFIG, 0)

    first = kept_voices(path, "a", make)
    second = kept_voices(path, "a", make)
    assert len(calls) == 1
    assert all(
        np.array_equal(a.raw, b.raw) and np.array_equal(a.pauses, b.pauses) for a, b in zip(first, second, strict=True)
    )
    kept_voices(path, "b", make)
    path.write_bytes(b"damaged")
    kept_voices(path, "b", make)
    assert len(calls) == 3


def test_frames_around_are_those_of_all_voices_and_their_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = AudioBatcher(MEL, long_speech(6), CONFIG, 0)
    frames = torch.arange(20, 60)
    seen = bank.frames_around(frames)
    # Forty video frames of four feature frames, and sixteen to either side, in four versions.
    spoken = 4 * (39 * 4 + 33)
    pauses = bank.silence(1, generator(0)).shape[2]
    assert seen.shape[1] == pauses and (len(seen) - spoken) % (4 * CONFIG.silence_stretches) == 0
    clean = bank.clean(frames).flatten(0, 1).half().float()
    assert torch.cdist(clean[::50], seen).min(1).values.max() < 1e-2
    monkeypatch.setattr(batches, "ENOUGH_FRAMES", 100)
    assert 50 < len(bank.frames_around(frames)) < 110


def test_a_long_recording_has_fewer_other_voices() -> None:
    config = BatchConfig(versions=20, plain_versions=5, most_minutes=30)
    assert config.other_voices(60.0) == 15
    assert config.other_voices(180.0) == 5
    assert config.other_voices(3600.0) == 4
    assert BatchConfig(versions=3, plain_versions=3).other_voices(60.0) == 0


def test_a_narrowed_bank_is_what_its_features_hear_of_the_same_voices() -> None:
    class Backwards:
        """Log-mel from top to bottom, to stand beside it."""

        facts = MEL.facts

        def __getattr__(self, name: str):
            return getattr(MEL, name)

    both = JoinedFeature([MEL, Backwards()])  # type: ignore[list-item]
    heard = AudioBatcher(both, long_speech(4), CONFIG, 2)
    narrow = heard.narrowed(("mel",))
    frames = torch.arange(40)
    assert narrow.feature is open_features(("mel",))
    for method in ("sample", "silence"):
        first = frames if method == "sample" else 8
        wide, slim = (getattr(one, method)(first, generator(1)) for one in (heard, narrow))
        assert torch.equal(wide[..., :40], slim)
    assert torch.equal(heard.clean(frames)[..., :40], narrow.clean(frames))
