"""Sound of a kind that was never heard is brought to what was, as far as is wished, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.drive import DriveConfig, codes_for_audio, codes_for_windows
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.heard_before import BEYOND, HeardBefore, HeardMatch, fit_heard_before

from .sounds import SENTENCE, own_windows, spoken

CLOSED = np.zeros(4, np.float32)


def flat_frames(n: int = 4000) -> np.ndarray:
    """Frames of six columns of which three directions hold nearly everything."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    return rng.standard_normal((n, 6)) * [3.0, 2.0, 1.0, 0.01, 0.01, 0.01] @ directions + 0.5


def matched(known: HeardBefore, frames: np.ndarray, strength: float) -> np.ndarray:
    match = HeardMatch(*known.components.shape)
    match.learn(known)
    return match(torch.from_numpy(frames).float(), strength).numpy()


def knowing(encoder: AudioEncoder) -> AudioEncoder:
    """An encoder of log-mel that heard one made-up sentence."""
    frames = own_windows(spoken(SENTENCE), 40).reshape(-1, 40)
    assert encoder.heard is not None
    encoder.heard.learn(fit_heard_before(frames, encoder.config.heard))
    return encoder


def an_encoder(heard: int) -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder(EncoderConfig(4, hidden=8, heard=heard)).eval()


def test_what_lies_beside_the_components_or_beyond_their_ranges_comes_inside() -> None:
    frames = flat_frames()
    known = fit_heard_before(frames, 3)
    np.testing.assert_allclose(known.components @ known.components.T, np.eye(3), atol=1e-5)
    strange = np.random.default_rng(1).standard_normal((50, 6)) * 40.0
    inside = matched(known, strange, 1.0) - known.mean
    told = inside @ known.components.T
    assert (told >= known.low - 1e-4).all() and (told <= known.high + 1e-4).all()
    np.testing.assert_allclose(told @ known.components, inside, atol=1e-4)
    assert np.linalg.norm(strange - 0.5, axis=1).max() > 3 * np.linalg.norm(inside, axis=1).max()
    # What was heard stays, but for what lies beyond the ranges.
    moved = np.abs(matched(known, frames, 1.0) - frames).max(1)
    assert (moved < 0.06).mean() > 1.0 - 3 * 2 * BEYOND - 0.01


def test_the_strength_goes_all_the_way_evenly() -> None:
    known, strange = fit_heard_before(flat_frames(), 3), np.full((5, 6), 30.0)
    start, end = strange.astype(np.float32), matched(known, strange, 1.0)
    assert np.array_equal(matched(known, strange, 0.0), start)
    last = np.inf
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        left = float(np.linalg.norm(matched(known, strange, strength) - end))
        assert left == pytest.approx((1.0 - strength) * np.linalg.norm(start - end), abs=1e-4)
        assert left < last
        last = left


def test_components_do_not_depend_on_the_order_and_point_the_same_way() -> None:
    frames = flat_frames(1000)
    one, other = fit_heard_before(frames, 3), fit_heard_before(frames[::-1], 3)
    np.testing.assert_allclose(one.components, other.components, atol=1e-4)
    assert (np.take_along_axis(one.components, np.abs(one.components).argmax(1)[:, None], 1) > 0).all()


def test_without_strength_or_knowledge_every_bit_of_the_codes_is_as_before() -> None:
    plain, known, sound = an_encoder(0), knowing(an_encoder(12)), spoken(SENTENCE, seed=5)
    blank = an_encoder(12)
    before = codes_for_audio(plain, sound, closed=CLOSED)
    none = DriveConfig(ood=0.0)
    assert np.array_equal(codes_for_audio(known, sound, closed=CLOSED, config=none), before)
    assert np.array_equal(codes_for_audio(blank, sound, closed=CLOSED), before)
    assert np.array_equal(codes_for_audio(plain, sound, closed=CLOSED, config=none), before)
    assert not np.allclose(codes_for_audio(known, sound, closed=CLOSED), before, atol=1e-3)


def test_a_stream_hears_as_a_file_does() -> None:
    encoder, sound, config = knowing(an_encoder(12)), spoken(SENTENCE, seed=5), DriveConfig(ood=0.7)
    whole = codes_for_audio(encoder, sound, closed=CLOSED, config=config)
    live = codes_for_windows(encoder, own_windows(sound, len(whole)), closed=CLOSED, config=config)
    np.testing.assert_allclose(live, whole, atol=1e-5)


def test_each_of_two_networks_knows_its_own() -> None:
    first, second = knowing(an_encoder(12)), an_encoder(0)
    torch.manual_seed(1)
    blend, windows = Blend(first, second, 0.3).eval(), 9.0 * torch.randn(3, 33, 40)
    wanted = 0.7 * first(windows, 1.0) + 0.3 * second(windows)
    torch.testing.assert_close(blend(windows, 1.0), wanted)
    assert not torch.allclose(blend(windows, 1.0), blend(windows))


def test_weights_from_before_load_and_those_of_now_bring_it_along() -> None:
    old = an_encoder(0)
    again = AudioEncoder(replace(old.config))
    again.load_state_dict(old.state_dict())
    assert again.heard is None
    known = knowing(an_encoder(12))
    copy = AudioEncoder(known.config)
    copy.load_state_dict(known.state_dict())
    windows = torch.full((2, 33, 40), 7.0)
    torch.testing.assert_close(copy.eval()(windows, 1.0), known(windows, 1.0))
