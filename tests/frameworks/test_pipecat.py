"""The service for Pipecat in a real pipeline: sound and pictures in step, interruption, the end."""

from __future__ import annotations

import asyncio
import os
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
from pipecat.pipeline.pipeline import Pipeline
from pipecat.tests.utils import SleepFrame, run_test
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams

from gaussavatar.live.frameworks.pipecat import AvatarService
from tests.frameworks.toy import RATE, avatar_here, babble, example


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
    done = example("09_pipecat_bot.py", os.environ["GAUSSAVATAR_TEST_AVATAR"], tmp_path / "said.wav")
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[0] == "1.00" and int(words[4]) >= 25, done.stdout


def test_the_example_says_what_is_missing(tmp_path: Path) -> None:
    told = example("09_pipecat_bot.py")
    assert told.returncode == 1 and "python examples/09_pipecat_bot.py AVATAR" in told.stderr
    for words in ((tmp_path / "nobody", "said.wav"), (os.environ["GAUSSAVATAR_TEST_AVATAR"], tmp_path / "none.wav")):
        told = example("09_pipecat_bot.py", *words)
        assert told.returncode == 1 and "Traceback" not in told.stderr and "error: " in told.stderr, told.stderr


class Stalling(BaseOutputTransport):
    """A transport that plays as long as the sound lasts, and now and then half a second longer."""

    def __init__(self) -> None:
        super().__init__(TransportParams(
            audio_out_enabled=True, audio_out_sample_rate=RATE, video_out_enabled=True, video_out_width=64,
            video_out_height=64, video_out_framerate=50,
        ))  # fmt: skip
        self.played, self.shown = 0, []

    async def start(self, frame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame) -> bool:
        stall = 0.5 if self.played in (RATE, 2 * RATE) else 0.0
        await asyncio.sleep(len(frame.audio) / 2 / RATE + stall)
        self.played += len(frame.audio) // 2
        return True

    async def write_video_frame(self, frame) -> bool:
        self.shown.append((frame.image, self.played))
        return True


def test_pictures_stay_with_the_sound_where_the_network_stalls(avatar) -> None:
    transport, made = Stalling(), []

    class Between(AvatarService):
        async def push_frame(self, frame, *direction) -> None:
            if isinstance(frame, OutputImageRawFrame):
                made.append(frame.image)
            await super().push_frame(frame, *direction)

    service = Between(avatar.live(render="image", size=64, seed=1, rate=RATE))
    asyncio.run(run_test(Pipeline([service, transport]), frames_to_send=[*speech(3.0), TTSStoppedFrame()]))
    order = {image: number for number, image in reversed(list(enumerate(made)))}
    skews = [played / RATE - order[image] / 25 for image, played in transport.shown if image in order]
    # In steps of a chunk of sound; pictures by a clock of their own would be half a second ahead, and then a whole one.
    spread = np.percentile(skews, [0, 50, 95])
    assert len(skews) > 100 and spread[0] > -0.041 and spread[1] <= 0.041 and spread[2] <= 0.081, spread


def test_a_hundred_interruptions_leave_nothing_behind(avatar) -> None:
    frames = []
    for _ in range(100):
        frames += [*speech(1.0), SleepFrame(0.12), InterruptionFrame(), SleepFrame(0.06)]
    down = given(avatar, [*frames, *speech(0.5), TTSStoppedFrame()])
    sound, said = samples(down), babble(0.5)
    assert sum(isinstance(frame, TTSStoppedFrame) for frame in down) == 1
    last = len(sound) - int(np.flatnonzero(sound[::-1])[0])
    assert np.array_equal(sound[last - len(said) : last], said)
