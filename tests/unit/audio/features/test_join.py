"""Two features side by side; the second is one that only this file has: slower, and blind to speech."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig
from gaussavatar.audio.drive import codes_for_audio
from gaussavatar.audio.features import registry
from gaussavatar.audio.features.api import AudioFeature, FeatureFacts
from gaussavatar.audio.features.join import JoinedFeature, between
from gaussavatar.audio.features.mel import FACTS, MEL
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics, normalise
from gaussavatar.audio.pretrain import AudioPretrainConfig, pretrain_encoder
from gaussavatar.audio.stream import FramedStream, n_centred_frames
from gaussavatar.audio.windows import Window
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..sounds import generator, long_speech, spoken

HOP, LENGTH = 320, 640
DRIFT = FeatureFacts(("drift",), 2, Window(50, 8), look_ahead_ms=20.0, streamable=True)


def drift_frames(samples: np.ndarray, n: int) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(samples, LENGTH)[::HOP][:n] if n > 0 else np.zeros((0, LENGTH))
    return np.stack([frames.mean(1), frames.max(1, initial=-1.0)], 1).astype(np.float32)


class Drift:
    """The mean of the samples, which no mel band hears, and their peak."""

    facts = DRIFT

    def extract(self, waveform: Waveform) -> np.ndarray:
        padded = np.pad(waveform.samples, (LENGTH // 2, LENGTH // 2 + HOP))
        return drift_frames(padded, n_centred_frames(len(waveform.samples), HOP))

    def stream(self) -> FramedStream:
        return FramedStream(drift_frames, LENGTH, HOP)

    def statistics(self, raw: np.ndarray) -> AudioStatistics:
        mean, std = raw.mean(0).astype(np.float32), (raw.std(0) + 1e-3).astype(np.float32)
        return AudioStatistics(mean, std, np.full(2, -np.inf, np.float32), np.zeros(2, np.float32))

    def activity(self, raw: np.ndarray) -> np.ndarray:
        return np.ones(len(raw), np.float32)

    def gate(self, windows: np.ndarray, config: GateConfig | None = None) -> np.ndarray:
        return np.ones(len(windows))


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> AudioFeature:
    module = ModuleType("drift_feature")
    module.FACTS, module.build = DRIFT, Drift  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "drift_feature", module)
    monkeypatch.setitem(registry.KNOWN, "drift", "drift_feature")
    return open_features(("mel", "drift"))


def drifting(seconds: int) -> tuple[Waveform, np.ndarray]:
    """Speech over a slow drift that nobody hears, and the drift of every video frame."""
    speech = long_speech(seconds)
    time = np.arange(len(speech.samples)) / ANALYSIS_RATE
    knots = np.arange(0, seconds + 1, 0.4)
    drift = 0.2 * np.interp(time, knots, np.random.default_rng(3).uniform(-1, 1, len(knots)))
    middle = ((np.arange(seconds * 25) + 0.5) * ANALYSIS_RATE / 25).astype(int)
    return Waveform((speech.samples + drift).astype(np.float32), ANALYSIS_RATE), drift[middle]


def test_the_first_leads_and_the_second_is_brought_to_its_rate(both: AudioFeature) -> None:
    waveform, facts = spoken("abcd..ef"), both.facts
    assert (facts.names, facts.dimension, facts.window) == (("mel", "drift"), 42, FACTS.window)
    assert facts.look_ahead_ms == 40.0 and facts.streamable
    raw, slow = both.extract(waveform), Drift().extract(waveform)
    np.testing.assert_array_equal(raw[:, :40], MEL.extract(waveform))
    np.testing.assert_array_equal(raw[::2, 40:], slow[: len(raw[::2])])
    np.testing.assert_allclose(raw[1:-2:2, 40:], 0.5 * (slow[:-1] + slow[1:])[: len(raw[1:-2:2])], atol=1e-6)
    statistics = both.statistics(raw)
    np.testing.assert_array_equal(
        normalise(raw, statistics)[:, :40], normalise(raw[:, :40], MEL.statistics(raw[:, :40]))
    )
    np.testing.assert_array_equal(both.activity(raw), MEL.activity(raw[:, :40]))
    seen = np.random.default_rng(0).normal(size=(5, 33, 42)).astype(np.float32)
    np.testing.assert_array_equal(both.gate(seen), MEL.gate(seen[..., :40]))


def test_between_frames_lies_a_straight_line_that_is_held_at_the_ends() -> None:
    line = np.arange(11, dtype=np.float32)[:, None]
    np.testing.assert_allclose(between(line, np.array([-3.0, 0.25, 9.5, 40.0]))[:, 0], [0.0, 0.25, 9.5, 10.0])


def test_one_that_is_seen_less_far_ahead_stands_later() -> None:
    class Near(Drift):
        facts = replace(DRIFT, window=Window(50, 3))

    waveform, n = spoken("abcd..ef"), 20
    joined = JoinedFeature([MEL, Near()])
    # A window of log-mel reaches 160 ms ahead, one of this 60 ms: it stands 100 ms later, and is known in time.
    assert joined.facts.look_ahead_ms == MEL.facts.look_ahead_ms
    raw, slow = joined.extract(waveform), Drift().extract(waveform)
    np.testing.assert_array_equal(raw[10 : 10 + 2 * n : 2, 40:], slow[:n])
    stream = joined.stream()
    parts = [stream.push(part) for part in np.array_split(waveform.samples, 31)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.finish()]), raw, atol=2e-5)


@pytest.mark.parametrize("n_samples", [0, 1, 500, 4321, 40000])
def test_streams_in_step_give_the_whole(both: AudioFeature, n_samples: int) -> None:
    rng = np.random.default_rng(n_samples)
    samples = (0.1 * rng.standard_normal(n_samples)).astype(np.float32)
    stream, parts, at, told = both.stream(), [], 0, 0
    while at < n_samples:
        step = int(rng.integers(1, 1500))
        parts.append(stream.push(samples[at : at + step]))
        at, told = min(n_samples, at + step), told + len(parts[-1])
        # Everything whose look-ahead is there has been told.
        assert told >= (at - both.facts.look_ahead_ms * 16) / 160
    parts.append(stream.finish())
    np.testing.assert_allclose(np.concatenate(parts), both.extract(Waveform(samples, ANALYSIS_RATE)), atol=2e-5)


def test_a_set_with_one_that_cannot_stream_says_which() -> None:
    class Whole(Drift):
        facts = FeatureFacts(("whole",), 2, Window(50, 8), look_ahead_ms=0.0, streamable=False)

    joined = JoinedFeature([MEL, Whole()])
    assert not joined.facts.streamable
    with pytest.raises(UserError, match="got whole, which cannot"):
        joined.stream()


def test_an_encoder_learns_from_the_second_feature_what_the_first_does_not_hear(both: AudioFeature) -> None:
    waveform, drift = drifting(12)
    config = AudioPretrainConfig(steps=40, hidden=8, members=1, batches=BatchConfig(versions=3, plain_versions=2))
    train, rs = np.arange(300) < 240, {}
    for feature in (MEL, both):
        heard = AudioBatcher(feature, waveform, config.batches, 1)
        assert heard.every_version(torch.arange(3)).shape == (3, 3, 33, feature.facts.dimension)
        assert torch.isfinite(heard.silence(20, generator())).all()
        targets = (drift / drift.std())[:, None].astype(np.float32)
        encoder = pretrain_encoder(heard, targets, train, np.zeros(1, np.float32), config, 0).encoder
        assert (encoder.config.features, encoder.config.width) == (feature.facts.names, feature.facts.dimension)
        codes = codes_for_audio(encoder, waveform, closed=np.zeros(1, np.float32), n_frames=300)
        with torch.no_grad():
            told = encoder(heard.clean(torch.arange(240, 300)))[:, 0].numpy()
        rs[feature.facts.dimension] = float(np.corrcoef(told, drift[240:])[0, 1])
        assert np.isfinite(codes).all()
    assert rs[42] > 0.8 > rs[40] + 0.3
