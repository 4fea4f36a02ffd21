"""Features of speech models, with tiny models of random weights in the place of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig
from gaussavatar.audio.features import hubert, speech_models, wav2vec2, whisper
from gaussavatar.audio.features.api import AugmentConfig
from gaussavatar.audio.features.other_voices import other_sound
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.features.speech_models import KEPT, projection, reduced
from gaussavatar.audio.features.wav2vec2 import ConvolvedListener
from gaussavatar.audio.features.whisper import WhisperListener
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..sounds import SENTENCE, generator, spoken
from ..speech_models import PLACES, save_tiny

NAMES = [place.name for place in PLACES]

pytestmark = pytest.mark.usefixtures("with_speech_models", "speech_models")


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_tells_of_the_sound_around_it(name: str) -> None:
    feature, sound = open_features((name,)), spoken(SENTENCE)
    raw = feature.extract(sound)
    assert raw.shape == (len(sound.samples) // 320 + 1, KEPT + 1) and np.isfinite(raw).all()
    np.testing.assert_array_equal(feature.extract(sound), raw)
    # A click moves what is heard at its own time most.
    at = 60
    clicked = sound.samples.copy()
    clicked[at * 320 - 80 : at * 320 + 80] += 0.5 * np.sin(np.arange(160))
    moved = np.abs(feature.extract(Waveform(clicked, ANALYSIS_RATE)) - raw)[:, :KEPT].sum(1)
    assert abs(int(np.argmax(moved)) - at) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_long_sound_in_pieces_is_the_same_as_whole_but_for_what_is_far(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = spoken(SENTENCE * 2)
    kind = WhisperListener if name == "whisper" else ConvolvedListener
    feature = open_features((name,))
    longest: list[int] = []
    call = kind.__call__

    def listened(self: object, samples: np.ndarray, scale: float) -> torch.Tensor:
        longest.append(len(samples))
        return call(self, samples, scale)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "__call__", listened)
    whole = feature.extract(sound)
    listener = feature._listener  # type: ignore[attr-defined]
    monkeypatch.setattr(listener, "longest", 180, raising=False)
    if name == "whisper":
        # Its encoder always hears as much as its config says.
        assert max(longest) <= 200 * 320 and len(longest) > 1
        return
    assert longest == [len(whole) * 320]
    longest.clear()
    pieces = feature.extract(sound)
    assert len(longest) > 3 and max(longest) <= 180 * 320
    different = np.abs(pieces - whole)[:, :KEPT].mean() / np.abs(whole - whole.mean(0))[:, :KEPT].mean()
    assert different < 0.5
    np.testing.assert_array_equal(pieces[:, KEPT], whole[:, KEPT])


@pytest.mark.parametrize("name", NAMES)
def test_speech_and_pauses_are_told_and_other_voices_are_heard_anew(name: str) -> None:
    feature, sound = open_features((name,)), spoken(SENTENCE)
    raw = feature.extract(sound)
    active = feature.activity(raw)
    assert active[5:20].min() > 0.9 and active[40:70].max() < 0.1
    other = feature.extract(other_sound(sound, AugmentConfig(), generator()))
    assert other.shape == raw.shape
    assert np.abs(other - raw)[:, :KEPT].mean() > (
        0.001 if name == "whisper" else 0.05
    )  # There random layers hear little.
    config = BatchConfig(versions=3, plain_versions=2, silence_stretches=8)
    batcher = AudioBatcher(feature, sound, config)
    windows = torch.cat([batcher.clean(torch.arange(10)), batcher.silence(10, generator())])
    gate = feature.gate(windows.numpy())
    assert gate[2:8].min() > 0.9 and np.median(gate[10:]) < 0.2


def test_a_recording_of_silence_or_of_nothing_is_normalised_to_finite_numbers() -> None:
    feature = open_features(("hubert",))
    for n in (0, 1, 16000):
        raw = feature.extract(Waveform(np.zeros(n, np.float32), ANALYSIS_RATE))
        statistics = feature.statistics(raw)
        assert len(raw) == n // 320 + 1 and np.isfinite(statistics.silence).all() and (statistics.std > 0.01).all()
    assert np.isfinite(feature.statistics(raw[:0]).silence).all()


def test_they_cannot_follow_live_sound_and_say_so() -> None:
    with pytest.raises(UserError, match="live sound, got hubert, which cannot"):
        open_features(("hubert",)).stream()


def test_the_directions_are_orthogonal_and_stay_what_they_are() -> None:
    directions = projection(768)
    np.testing.assert_allclose(directions.T @ directions, np.eye(KEPT), atol=1e-5)
    # Avatars carry networks that were trained on these very numbers.
    assert directions[0, 0].item() == pytest.approx(-0.040160540, abs=1e-7)
    loud = torch.ones(3, 768)
    loud[:, 5] = torch.tensor([1e3, 1.1e3, 1.2e3])
    assert np.abs(np.diff(reduced(loud), axis=0)).max() < 0.1
    with pytest.raises(ValueError, match="at least 48 channels, got 47"):
        projection(47)


def test_two_thirds_of_the_layers_run(speech_models: dict[str, Path]) -> None:
    listener = ConvolvedListener(hubert.PLACE.read())
    assert len(listener._model.encoder.layers) == 2
    assert len(WhisperListener(whisper.PLACE.read())._encoder.layers) == 2


def test_a_missing_model_is_one_line_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_features.cache_clear()
    monkeypatch.delenv("GAUSSAVATAR_HUBERT")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    words = "no facebook/hubert-base-ls960 in the Hugging Face cache; set GAUSSAVATAR_HUBERT to.*save_pretrained"
    with pytest.raises(UserError, match=words) as told:
        open_features(("hubert",))
    assert "\n" not in str(told.value)
    monkeypatch.setenv("GAUSSAVATAR_HUBERT", str(tmp_path / "none"))
    with pytest.raises(UserError, match="GAUSSAVATAR_HUBERT=.*none without them"):
        open_features(("hubert",))


def test_a_model_in_the_cache_is_found(
    tmp_path: Path, speech_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GAUSSAVATAR_WAV2VEC2")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--facebook--wav2vec2-base-960h"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40)
    snapshot = place / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir()
    snapshot.symlink_to(speech_models["wav2vec2"])
    assert wav2vec2.PLACE.folder().resolve() == speech_models["wav2vec2"].resolve()


def test_a_wrong_or_damaged_model_is_one_line(
    tmp_path: Path, speech_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAUSSAVATAR_HUBERT", str(speech_models["wav2vec2"]))
    with pytest.raises(UserError, match="type hubert in .*, got wav2vec2"):
        hubert.PLACE.read()
    folder = save_tiny(hubert.PLACE, tmp_path / "cut")
    monkeypatch.setenv("GAUSSAVATAR_HUBERT", str(folder))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="a whole hubert model") as told:
        hubert.PLACE.read()
    assert "\n" not in str(told.value)
    from safetensors.torch import load_file, save_file

    tensors = load_file(save_tiny(hubert.PLACE, tmp_path / "less") / "model.safetensors")
    dropped = next(key for key in tensors if "attention" in key)
    save_file({key: value for key, value in tensors.items() if key != dropped}, weights)
    with pytest.raises(UserError, match="all weights of hubert in .*, got none for"):
        hubert.PLACE.read()


def test_nothing_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refused(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refused)
    for place in PLACES:
        place.read()
    monkeypatch.delenv("GAUSSAVATAR_WHISPER")
    with pytest.raises(UserError, match="no openai/whisper-base"):
        whisper.PLACE.folder()
    assert speech_models.INSTALL
