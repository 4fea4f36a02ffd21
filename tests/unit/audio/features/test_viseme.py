from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig
from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.mel_bands import LOG_FLOOR, N_MELS, log_mel
from gaussavatar.audio.features.other_voices import other_sound, pause_sound
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.features.viseme import DIMENSION, FACTS, VISEME
from gaussavatar.audio.features.viseme_network import (
    CLASSES,
    LAYERS,
    WEIGHTS,
    mouth_of,
    network_arrays,
    reach_of,
    read_network,
    viseme_network,
)
from gaussavatar.audio.normalise import normalise
from gaussavatar.audio.windows import windows
from gaussavatar.resources import resource
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..sounds import generator, long_speech, spoken


def test_the_weights_are_small_and_say_how_they_were_made() -> None:
    path = resource("assets") / WEIGHTS
    assert path.stat().st_size <= 1_000_000
    network = viseme_network()
    assert network.components.shape == (DIMENSION - 5, network.stem[0].shape[0])
    assert network.head[0].shape[0] == len(CLASSES) + 4
    assert "espeak-ng, flite" in network.made
    assert all(array.dtype == np.float16 for array in read_arrays(path)[0].values())


def test_a_network_read_back_is_the_one_that_was_written(tmp_path: Path) -> None:
    network = viseme_network()
    write_arrays(tmp_path / "again.safetensors", *network_arrays(network))
    mel = log_mel(spoken("ab.cdefg"))[None]
    np.testing.assert_array_equal(mouth_of(read_network(tmp_path / "again.safetensors"), mel), mouth_of(network, mel))
    arrays, meta = network_arrays(network)
    write_arrays(tmp_path / "other.safetensors", arrays, meta | {"classes": json.dumps(["sil", "a"])})
    with pytest.raises(ValueError, match="other classes"):
        read_network(tmp_path / "other.safetensors")


def test_a_frame_sees_as_far_as_the_layers_say() -> None:
    reach = reach_of(LAYERS)
    n = reach.before + 1 + reach.after
    mel = torch.full((1, n, N_MELS), -9.0)
    network = viseme_network()
    here = network.trunk(mel)
    assert here.shape[1] == 1

    def changes(place: int) -> bool:
        other = mel.clone()
        other[:, place] += 3.0
        return not torch.allclose(network.trunk(other), here, atol=1e-5)

    assert changes(0) and changes(n - 1) and changes(reach.before)
    assert FACTS.look_ahead_ms == 10 * reach.after + 12.5


@pytest.mark.parametrize("pieces", [1, 3, 57])
def test_a_stream_tells_what_the_whole_file_does(pieces: int) -> None:
    waveform = spoken("abcd..efg.")
    stream = VISEME.stream()
    heard = [stream.push(part) for part in np.array_split(waveform.samples, pieces)]
    np.testing.assert_allclose(np.concatenate([*heard, stream.finish()]), VISEME.extract(waveform), atol=1e-5)


def test_a_streamed_frame_comes_as_soon_as_its_look_ahead_is_heard() -> None:
    samples = spoken("abcdefgh").samples
    ahead = round(FACTS.look_ahead_ms * ANALYSIS_RATE / 1000)
    stream = VISEME.stream()
    assert len(stream.push(samples[: 3200 + ahead - 1])) == 10
    assert len(stream.push(samples[3200 + ahead - 1 : 3200 + ahead])) == 1  # Frame 10, centred at sample 3200.
    assert FACTS.window_look_ahead_ms <= 200.0


def test_what_is_heard_does_not_depend_on_what_comes_later_or_on_when_it_is_asked() -> None:
    waveform = spoken("abcd..efg.")
    whole = VISEME.extract(waveform)
    half = VISEME.extract(Waveform(waveform.samples[:8000], ANALYSIS_RATE))
    safe = int((500 - FACTS.look_ahead_ms) / 20)
    np.testing.assert_allclose(half[:safe], whole[:safe], atol=1e-5)
    np.testing.assert_array_equal(whole, VISEME.extract(waveform))


def test_silence_is_told_from_sound_however_loud_the_recording() -> None:
    sound = long_speech(8)
    quiet = np.full((200, N_MELS), LOG_FLOOR, np.float32)
    assert VISEME.activity(VISEME.from_mel(quiet)).max() < 0.2
    for gain in (0.05, 1.0):
        raw = VISEME.extract(Waveform(gain * sound.samples, ANALYSIS_RATE))
        assert VISEME.activity(raw).mean() > 0.5


def test_silence_before_a_file_begins_changes_little() -> None:
    sound = long_speech(6)
    raw = VISEME.extract(sound)
    late = VISEME.extract(Waveform(np.pad(sound.samples, (3 * ANALYSIS_RATE, 0)), ANALYSIS_RATE))[150:]
    assert late.shape == raw.shape
    for begun in (slice(10, 60), slice(60, 250)):
        r = [np.corrcoef(late[begun, k], raw[begun, k])[0, 1] for k in range(8)]
        assert np.mean(r) > 0.8


def test_the_gate_opens_on_speech_and_closes_in_silence() -> None:
    samples = np.concatenate([np.zeros(16000, np.float32), long_speech(3).samples, np.zeros(16000, np.float32)])
    raw = VISEME.extract(Waveform(samples, ANALYSIS_RATE))
    seen = windows(normalise(raw, VISEME.statistics(raw)), 125, FACTS.window)
    gate = VISEME.gate(seen)
    assert gate[3:20].max() < 0.1 and gate[105:122].max() < 0.1
    assert np.median(gate[30:95]) > 0.9


def test_other_voices_say_the_same_and_pauses_are_silent() -> None:
    waveform = long_speech(4)
    raw = VISEME.extract(waveform)
    other = VISEME.extract(other_sound(waveform, AugmentConfig(), generator(3)))
    assert other.shape == raw.shape and not np.allclose(other, raw)
    pauses = [VISEME.extract(one) for one in pause_sound(12, 0.8, waveform, generator())]
    assert np.median(VISEME.activity(np.concatenate(pauses))) < 0.3


@pytest.mark.parametrize("n", [0, 1, 40])
def test_statistics_stay_sane_for_next_to_nothing(n: int) -> None:
    raw = VISEME.from_mel(np.full((2 * n, N_MELS), LOG_FLOOR, np.float32))
    statistics = VISEME.statistics(raw)
    assert np.isfinite(statistics.silence).all() and (statistics.std > 0.05).all()


def test_it_joins_mel_and_feeds_the_training() -> None:
    waveform = long_speech(6)
    both = open_features(("mel", "viseme"))
    assert both.extract(waveform).shape[1] == 40 + DIMENSION
    assert both.facts.window_look_ahead_ms <= 200.0
    batcher = AudioBatcher(both, waveform, BatchConfig(versions=2, plain_versions=1))
    batch = batcher.sample(torch.arange(10, 60), generator())
    assert batch.shape[0] == 50 and torch.isfinite(batch).all()
    assert batcher.silence(5, generator()).shape[0] == 5
