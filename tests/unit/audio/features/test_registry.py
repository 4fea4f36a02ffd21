from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest

from gaussavatar.audio.drive import codes_for_audio
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig, heard_by
from gaussavatar.audio.features import registry
from gaussavatar.audio.features.mel import FACTS, MEL
from gaussavatar.audio.features.registry import check_features, feature_facts, open_features
from gaussavatar.errors import UserError

from ..sounds import spoken


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature, known by name, whose package nobody has."""
    module = ModuleType("absent_feature")
    module.FACTS = replace(FACTS, names=("absent",), requires=("no_such_package",), install="pip install no-such")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "absent_feature", module)
    monkeypatch.setitem(registry.KNOWN, "absent", "absent_feature")


def test_every_known_feature_keeps_its_word(with_speech_models: bool, tmp_path: Path) -> None:
    columns = np.random.default_rng(0).standard_normal((35, 29)).astype(np.float32)
    np.save(tmp_path / "a.deepspeech.npy", columns)
    waveform = replace(spoken("abc..de"), file=tmp_path / "a.wav")
    for name in registry.KNOWN:
        if any(find_spec(package) is None for package in feature_facts(name).requires):
            continue
        if "transformers" in feature_facts(name).requires and not with_speech_models:
            continue
        facts = feature_facts(name)
        feature = import_module(registry.KNOWN[name]).build()
        raw = feature.extract(waveform)
        assert facts == feature.facts and facts.names == (name,)
        assert raw.shape[1] == facts.dimension and raw.dtype == np.float32
        assert len(raw) == pytest.approx(waveform.seconds * facts.window.rate, abs=1.5)
        assert feature.statistics(raw).silence.shape == (facts.dimension,)
        if facts.streamable:
            stream = feature.stream()
            pieces = [stream.push(part) for part in np.array_split(waveform.samples, 7)]
            streamed = np.concatenate([*pieces, stream.finish()])
            assert streamed.shape == raw.shape
            if facts.stream_alike:
                np.testing.assert_allclose(streamed, raw, atol=2e-5)


def test_a_streamed_frame_comes_with_the_look_ahead_that_is_told() -> None:
    samples = spoken("abcde").samples
    ahead = round(FACTS.look_ahead_ms * 16)
    stream = MEL.stream()
    assert len(stream.push(samples[: 1600 + ahead - 1])) == 10
    assert len(stream.push(samples[1600 + ahead - 1 : 1600 + ahead])) == 1  # Frame 10, centred at sample 1600.
    assert FACTS.window_look_ahead_ms == pytest.approx(172.5)


def test_names_that_nobody_knows_are_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match="an audio feature: mel.*got 'nel'; did you mean mel"):
        open_features(("nel",))
    with pytest.raises(UserError, match="each once, got none"):
        check_features(())
    with pytest.raises(UserError, match="twice in mel, mel"):
        check_features(("mel", "mel"))


def test_a_feature_without_its_package_says_what_to_install(absent: None) -> None:
    check_features(("absent",))
    with pytest.raises(UserError, match="package for the audio feature absent.*pip install no-such.*--features light"):
        open_features(("absent",))


def test_an_old_header_is_the_network_that_it_was() -> None:
    old = {"n_codes": 3, "hidden": 8, "members": 2, "linear": True, "dropout": 0.15}
    config = msgspec.convert(old, EncoderConfig)
    assert config == EncoderConfig(3, hidden=8, members=2)
    assert (config.features, config.width, config.window) == (("mel",), FACTS.dimension, FACTS.window.length)
    assert heard_by(config) is MEL
    shapes = {name: tuple(tensor.shape) for name, tensor in AudioEncoder(config).state_dict().items()}
    assert shapes["stem.weight"] == (2, 5 * 40, 8) and shapes["linear.weight"] == (3, 33 * 40)
    assert msgspec.convert(msgspec.to_builtins(config), EncoderConfig) == config


def test_an_avatar_that_hears_what_is_not_here_opens_but_does_not_speak(absent: None) -> None:
    closed, sound = np.zeros(2, np.float32), spoken("ab")
    for config, words in (
        (EncoderConfig(2, features=("absent",)), "install"),
        (EncoderConfig(2, features=("mel", "lips")), "'lips'"),
        (EncoderConfig(2, width=13), "33 x 13 values per frame, got 33 x 40"),
    ):
        encoder = AudioEncoder(config)
        with pytest.raises(UserError, match=words):
            codes_for_audio(encoder, sound, closed=closed)
