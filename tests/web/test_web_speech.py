from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gaussavatar.audio.drive import DriveConfig, codes_for_audio, codes_for_windows
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig, heard_by
from gaussavatar.audio.heard_before import fit_heard_before
from gaussavatar.audio.normalise import RunningNormaliser
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.export.gsa.speech import speech_sections
from gaussavatar.motion.track import frames_of_seconds
from gaussavatar.types import ANALYSIS_RATE, Waveform

from ..unit.audio.sounds import SENTENCE, speech_like, spoken
from .arrays import read_floats, write_arrays

Script = Callable[..., list[dict[str, Any]]]
TOLERANCE = 1e-3
CODES = 6


def network(features: tuple[str, ...] = ("mel", "viseme"), **more: Any) -> AudioEncoder:
    """Networks of chance whose weights are exact in half precision; answers are of the size of real codes."""
    torch.manual_seed(1)
    width = sum({"mel": 40, "viseme": 29, "hama": 22}[name] for name in features)
    facts = {"linear": False, "own_range": True, "heard": 0} | more
    config = EncoderConfig(CODES, hidden=12, features=features, width=width, **facts)
    encoder = AudioEncoder(config).eval().requires_grad_(False)
    for name, tensor in encoder.state_dict().items():
        if name.endswith(".weight"):
            tensor.copy_((2.0 * tensor).half().float())
    encoder.centre.copy_(torch.linspace(-0.4, 0.6, CODES))
    encoder.spread.copy_(torch.linspace(0.6, 1.8, CODES))
    if encoder.range is not None:
        encoder.range.gain.copy_(torch.linspace(1.0, 1.3, CODES))
        encoder.range.opening.copy_(torch.linspace(-0.2, 0.8, CODES))
        encoder.range.toward.copy_(encoder.range.opening / encoder.range.opening.square().sum())
        knots = torch.linspace(-1, 1, len(encoder.range.heard))
        encoder.range.heard.copy_(0.4 * knots)
        encoder.range.own.copy_(0.7 * knots + 0.5 * knots**3)
    if encoder.heard is not None:
        frames = np.random.default_rng(2).standard_normal((400, width)) * np.linspace(0.2, 1, width)
        encoder.heard.learn(fit_heard_before(frames, config.heard))
    return encoder


def streamed(
    encoder: AudioEncoder, waveform: Waveform, closed: np.ndarray, config: DriveConfig, again: bool = False
) -> np.ndarray:
    """What a stream of the sound is heard as: the running normaliser, and silence before and after as it knows them.

    ``again``: by a normaliser that heard the same sound before.
    """
    feature = heard_by(encoder.config)
    stream, window = feature.stream(), feature.facts.window
    raw = np.concatenate([stream.push(waveform.samples), stream.finish()])
    running = RunningNormaliser(feature.statistics, window.rate)
    if again:
        running.push(raw)
        running = RunningNormaliser(feature.statistics, window.rate, running.statistics)
    first = window.length - window.radius + 2  # Frames of which the first window consists that has them all.
    early = running.push(raw[:first])
    assert running.statistics is not None
    before = np.repeat(running.statistics.silence[None], window.radius, axis=0)
    rest = running.push(raw[first:])
    after = np.repeat(running.statistics.silence[None], 2 * window.length, axis=0)
    padded = np.concatenate([before, early, rest, after]).astype(np.float32)
    centres = window.centres(np.arange(frames_of_seconds(waveform.seconds))) + window.radius
    return codes_for_windows(encoder, padded[centres[:, None] + window.steps], closed=closed, config=config)


@pytest.fixture
def speak(script: Script, toy: LoadedAvatar, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Runs the page's road over a sound."""

    def run(encoder: AudioEncoder, waveform: Waveform, config: DriveConfig, *pieces: int) -> list[dict[str, Any]]:
        meta, sections = speech_sections(
            replace(toy, encoder=encoder, record=replace(toy.record, drive=config, light=None))
        )
        sections["drive.closed"] = CLOSED
        avatar = write_arrays(tmp_path / "avatar", sections, {"speech": meta})
        sound = write_arrays(tmp_path / "sound", {"samples": waveform.samples})
        return script("speech.mjs", avatar, sound, tmp_path / "codes", *map(str, pieces))

    return run


CLOSED = np.linspace(-1, 0.5, CODES).astype(np.float32)
CASES = {
    "both": (network(), DriveConfig()),
    "mel": (network(("mel",), linear=True), DriveConfig(1.2)),
    "heard": (network(heard=7), DriveConfig(ood=0.6)),
    "plain": (network(linear=True, own_range=False), DriveConfig(gate=None)),
}


def varied(waveform: Waveform) -> Waveform:
    """The sound as if somebody came nearer and went away."""
    swell = 10 ** np.interp(np.arange(len(waveform.samples)), np.arange(0, 120_000, 5_000), 0.4 * np.sin(np.arange(24)))
    return Waveform((0.5 * swell * waveform.samples).astype(np.float32), waveform.rate)


SOUNDS = {
    "speech": varied(speech_like(6.3, seed=3)),
    "sentence": spoken(SENTENCE, noise=0.0),
    "noise": Waveform(0.02 * np.random.default_rng(0).standard_normal(20_000).astype(np.float32), ANALYSIS_RATE),
    "silence": Waveform(np.zeros(24_000, np.float32), ANALYSIS_RATE),
    "short": Waveform(speech_like(0.1).samples[:960], ANALYSIS_RATE),
    "sample": Waveform(np.ones(1, np.float32), ANALYSIS_RATE),
}


PAIRS = [(case, "speech") for case in CASES] + [("both", sound) for sound in SOUNDS if sound != "speech"]


@pytest.mark.parametrize(("case", "sound"), PAIRS)
def test_codes_are_those_of_the_program(speak: Callable, tmp_path: Path, case: str, sound: str) -> None:
    (encoder, config), waveform = CASES[case], SOUNDS[sound]
    pieces = [len(waveform.samples), 320, 777][: 1 if len(waveform.samples) == 1 else 3]
    late = [line["late"] for line in speak(encoder, waveform, config, *pieces) if "late" in line]
    whole = codes_for_audio(encoder, waveform, closed=CLOSED, config=config)
    np.testing.assert_allclose(read_floats(tmp_path / "codes.whole", CODES), whole, atol=TOLERANCE)
    live = streamed(encoder, waveform, CLOSED, config)
    for piece in pieces:
        np.testing.assert_allclose(read_floats(tmp_path / f"codes.{piece}", CODES), live, atol=TOLERANCE)
    if sound == "speech":
        known = streamed(encoder, waveform, CLOSED, config, again=True)
        np.testing.assert_allclose(read_floats(tmp_path / "codes.again", CODES), known, atol=TOLERANCE)
        assert np.abs(known - live)[:50].max() > 0.02
        assert np.ptp(whole, axis=0).min() > 0.1 and np.abs(whole[25:] - live[25:]).max() > 0.05
        # Middle of a frame, 172.5 ms of look-ahead, the next frame of which nothing is known, and the piece itself.
        assert late[1] <= 0.02 + 0.1725 + 0.04 + 0.02 + 1e-6


def test_sound_that_cannot_be_heard_is_refused(speak: Callable, script: Script) -> None:
    for samples, word in ((np.zeros(0), "sample"), (np.full(100, np.nan), "none")):
        with pytest.raises(AssertionError, match=word):
            speak(CASES["both"][0], Waveform(samples.astype(np.float32), ANALYSIS_RATE), DriveConfig())
