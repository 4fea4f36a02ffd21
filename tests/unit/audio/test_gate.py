from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.audio.features.mel import FACTS, MEL, mel_statistics
from gaussavatar.audio.features.mel_bands import MEL_RATE
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import RunningNormaliser
from gaussavatar.audio.windows import windows
from gaussavatar.motion.track import frames_of_seconds
from gaussavatar.types import ANALYSIS_RATE, Waveform

from .sounds import SENTENCE, own_windows, spoken


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
def test_gate_opens_for_speech_and_closes_in_pauses(noise: float) -> None:
    waveform = spoken(SENTENCE, noise=noise)
    n = frames_of_seconds(waveform.seconds)
    gate = MEL.gate(own_windows(waveform, n))
    seconds = (np.arange(n) + 0.5) / 25
    speech = np.array([SENTENCE[min(int(s * 10), len(SENTENCE) - 1)] != "." for s in seconds])
    assert gate[speech].min() > 0.8
    far = np.array([not speech[max(0, i - 5) : i + 6].any() for i in range(n)])
    assert gate[far].max() < 0.15
    assert np.abs(np.diff(gate)).max() < 0.75  # Opens and closes over several frames.
    assert ((gate >= 0) & (gate <= 1)).all()


def test_gate_keeps_open_over_a_stop_consonant() -> None:
    waveform = spoken("abcd.efgh......abcd......")
    gate = MEL.gate(own_windows(waveform, frames_of_seconds(waveform.seconds)))
    assert gate[10:13].min() > 0.8  # 0.4 to 0.5 s is a closure inside a word.


def test_streamed_windows_give_the_gate_of_the_file() -> None:
    waveform = spoken(SENTENCE * 3)
    n = frames_of_seconds(waveform.seconds)
    stream, running = MEL.stream(), RunningNormaliser(mel_statistics, MEL_RATE)
    pieces = [running.push(stream.push(waveform.samples[k : k + 777])) for k in range(0, len(waveform.samples), 777)]
    mel = np.concatenate([*pieces, running.push(stream.finish())])
    live = MEL.gate(windows(mel, n, FACTS.window, fill=running.statistics.silence))
    offline = MEL.gate(own_windows(waveform, n))
    assert np.abs(live - offline)[75:].mean() < 0.05


def test_a_file_without_speech_keeps_the_gate_shut() -> None:
    rng = np.random.default_rng(0)
    for sound in (np.zeros(48000), 0.02 * rng.standard_normal(48000)):
        gate = MEL.gate(own_windows(Waveform(sound.astype(np.float32), ANALYSIS_RATE), 75))
        assert gate.max() < 0.2


def test_gate_config_moves_the_threshold() -> None:
    waveform = spoken(SENTENCE)
    seen = own_windows(waveform, frames_of_seconds(waveform.seconds))
    shut = MEL.gate(seen, GateConfig(threshold=10.0))
    open_ = MEL.gate(seen, GateConfig(threshold=-10.0))
    assert shut.max() < 1e-6 and open_.min() > 1.0 - 1e-6
