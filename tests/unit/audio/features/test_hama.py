"""The phone recogniser of another package as a feature; skipped where it is not installed."""

from __future__ import annotations

import numpy as np
import pytest

hama = pytest.importorskip("hama", reason="hama is not installed here")

from gaussavatar.audio.features import hama as feature_file  # noqa: E402
from gaussavatar.audio.features.hama import FACTS, HOP, HamaFeature, check_installed, levels_in_pieces  # noqa: E402
from gaussavatar.audio.features.registry import open_features  # noqa: E402
from gaussavatar.audio.phone_classes import CLASSES  # noqa: E402
from gaussavatar.errors import UserError  # noqa: E402
from gaussavatar.synthetic.speech import babble  # noqa: E402
from gaussavatar.synthetic.voice import speak_phones  # noqa: E402
from gaussavatar.types import ANALYSIS_RATE, Waveform  # noqa: E402


@pytest.fixture(scope="module")
def voice() -> Waveform:
    return speak_phones(babble(9.0, 3), 3, pitch_hz=130.0)


def test_levels_are_logarithms_of_shares_of_one(voice: Waveform) -> None:
    raw = HamaFeature().extract(voice)
    assert raw.shape == (len(voice.samples) // HOP + 1, len(CLASSES))
    shares = np.exp(raw) - feature_file.FLOOR
    # Tokens that are no phone (tones, text marks) belong to no class.
    assert (shares > -1e-6).all() and (shares.sum(1) < 1.0 + 1e-4).all() and shares.sum(1).mean() > 0.5


@pytest.mark.parametrize("count", [401, 3 * ANALYSIS_RATE + 77])
def test_the_network_answers_as_the_packages_own_engine(voice: Waveform, count: int) -> None:
    from hama.asr import ASRModel

    samples, model = np.ascontiguousarray(voice.samples[:count]), ASRModel()
    sound = {"waveform": samples[None], "waveform_lengths": np.array([count])}
    answers, lengths = model.session.run(["log_probs", "out_lengths"], sound)
    wanted, found = answers[0][: int(lengths[0])], feature_file.log_posteriors(samples)
    assert found.shape == wanted.shape and feature_file.token_classes()[1] == model.blank_id
    np.testing.assert_allclose(np.exp(found), np.exp(wanted), atol=1e-3)
    # What is unlikely counts too, for it is softened: log-mel that is not rounded to half precision is off by 5e-4.
    assert np.abs(found - wanted).mean() < 2e-4
    assert len(feature_file.token_classes()[0]) == len(model.decoder_tokens)


def test_it_stands_behind_one_that_hears_pauses(voice: Waveform) -> None:
    with pytest.raises(UserError, match="put mel before it"):
        open_features(("hama", "mel"))
    raw = open_features(("mel", "hama")).extract(voice)
    assert raw.shape[1] == 40 + FACTS.dimension
    np.testing.assert_array_equal(raw[::2, 40:], HamaFeature().extract(voice)[: len(raw[::2])])


def test_pieces_tell_what_the_whole_tells_and_a_stream_comes_close(voice: Waveform) -> None:
    n = len(voice.samples) // HOP + 1
    whole = levels_in_pieces(voice.samples, n, 0, 0)
    pieces = HamaFeature().extract(voice)
    assert np.corrcoef(whole.ravel(), pieces.ravel())[0, 1] > 0.99
    stream = HamaFeature().stream()
    parts = [stream.push(part) for part in np.array_split(voice.samples, 50)]
    told = np.concatenate([*parts, stream.finish()])
    assert told.shape == whole.shape
    assert np.corrcoef(whole.ravel(), told.ravel())[0, 1] > 0.85


def test_a_stream_waits_no_longer_than_it_says() -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(4 * ANALYSIS_RATE)).astype(np.float32)
    stream, told = HamaFeature().stream(), 0
    for at in range(0, len(samples), 160):
        told += len(stream.push(samples[at : at + 160]))
        assert told > (at + 160 - FACTS.look_ahead_ms * 16) / HOP - 1


def test_sounds_of_any_length_have_frames() -> None:
    for count in (0, 1, 319, 320, 16_000):
        raw = HamaFeature().extract(Waveform(np.zeros(count, np.float32), ANALYSIS_RATE))
        assert raw.shape == (count // HOP + 1, FACTS.dimension) and np.isfinite(raw).all()


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_file, "version", lambda _: "0.9.0")
    with pytest.raises(UserError, match="pip install hama==1.7.0"):
        check_installed()
