"""The service for Pipecat in a real pipeline: sound and pictures in step, interruption, the end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("pipecat", reason="pipecat-ai is not here: python -m tests.frameworks.run pipecat")

from pipecat.frames.frames import (
    InputAudioRawFrame,
    InterruptionFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from gaussavatar.live.frameworks.pipecat import AvatarService
from tests.frameworks.toy import RATE, avatar_here, babble


@pytest.fixture(scope="module")
def avatar():
    return avatar_here()


def speech(seconds: float) -> list[TTSAudioRawFrame]:
    sound = babble(seconds)
    return [TTSAudioRawFrame(sound[k : k + 480].tobytes(), RATE, 1) for k in range(0, len(sound), 480)]


def given(avatar, frames: list[object]) -> list[object]:
    live = avatar.live(render="image", size=64, seed=1, rate=RATE)
    down, _ = asyncio.run(run_test(AvatarService(live), frames_to_send=frames))
    return list(down)


def samples(frames: list[object]) -> np.ndarray:
    return np.concatenate(
        [np.frombuffer(f.audio, np.int16) for f in frames if isinstance(f, SpeechOutputAudioRawFrame)]
    )


def test_what_is_said_comes_out_whole_each_stretch_behind_its_picture(avatar) -> None:
    down = given(avatar, [TTSStartedFrame(), *speech(1.13), TTSStoppedFrame()])
    media = [f for f in down if isinstance(f, OutputImageRawFrame | SpeechOutputAudioRawFrame)]
    assert not any(isinstance(f, TTSAudioRawFrame) for f in down)
    assert [type(f) for f in media] == [OutputImageRawFrame, SpeechOutputAudioRawFrame] * (len(media) // 2)
    assert all(len(f.audio) == 2 * RATE // 25 for f in media[1::2]) and media[0].size == (64, 64)
    sound, said = samples(down), babble(1.13)
    first = int(np.flatnonzero(sound)[0]) - int(np.flatnonzero(said)[0])
    assert np.array_equal(sound[first : first + len(said)], said) and not sound[first + len(said) :].any()
    stopped = next(k for k, f in enumerate(down) if isinstance(f, TTSStoppedFrame))
    assert len(samples(down[:stopped])) >= first + len(said)


def test_an_interruption_drops_the_rest_and_the_next_sentence_is_whole(avatar) -> None:
    down = given(avatar, [
        *speech(3.0), TTSStoppedFrame(), SleepFrame(1.0), InterruptionFrame(), SleepFrame(0.5),
        *speech(0.5), TTSStoppedFrame(),
    ])  # fmt: skip
    cut = next(k for k, f in enumerate(down) if isinstance(f, InterruptionFrame))
    before, after = samples(down[:cut]), samples(down[cut:])
    assert 0 < np.count_nonzero(before) < 1.2 * RATE
    loud = np.flatnonzero(after[2 * RATE // 25 :])
    assert len(loud) and loud[0] > 0.2 * RATE, "sound after an interruption"
    said = babble(0.5)
    first = loud[0] + 2 * RATE // 25 - int(np.flatnonzero(said)[0])
    assert np.array_equal(after[first : first + len(said)], said)
    assert sum(isinstance(f, TTSStoppedFrame) for f in down) == 1


def test_listening_and_nothing_to_say_give_pictures_and_silence(avatar) -> None:
    user = [InputAudioRawFrame(frame.audio, RATE, 1) for frame in speech(0.5)]
    down = given(avatar, [*user, SleepFrame(1.0)])
    pictures = [frame for frame in down if isinstance(frame, OutputImageRawFrame)]
    assert 23 <= len(pictures) <= 30 and not samples(down).any()
    assert len({frame.image for frame in pictures}) > 5, "nobody stands that still"


def test_the_example_runs(avatar, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "said.wav", babble(1.0), RATE)
    example = Path(__file__).resolve().parents[2] / "examples" / "09_pipecat_bot.py"
    words = [sys.executable, str(example), os.environ["GAUSSAVATAR_TEST_AVATAR"], str(tmp_path / "said.wav")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[0] == "1.00" and int(words[4]) >= 25, done.stdout
