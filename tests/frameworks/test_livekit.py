"""The generator for LiveKit Agents against the real package: frames, queue, and runner with a recording sink."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

pytest.importorskip("livekit.agents", reason="livekit-agents is not here: python -m tests.frameworks.run livekit")

from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarRunner, QueueAudioOutput

from gaussavatar.live.frameworks.livekit import AvatarVideoGenerator
from tests.frameworks.toy import RATE, avatar_here, babble

OUT = 48_000


def pieces(seconds: float, piece: float = 0.02) -> list[rtc.AudioFrame]:
    sound, n = babble(seconds), round(piece * RATE)
    parts = [sound[k : k + n] for k in range(0, len(sound), n)]
    return [rtc.AudioFrame(part.tobytes(), RATE, 1, len(part)) for part in parts]


@pytest.fixture(scope="module")
def avatar():
    return avatar_here()


def test_pictures_all_the_time_and_each_stretch_of_sound_behind_its_own(avatar) -> None:
    async def talk() -> list[object]:
        live = avatar.live(render="image", size=64, seed=1)
        generator, told = AvatarVideoGenerator(live), []
        for frame in pieces(1.13):
            await generator.push_audio(frame)
        await generator.push_audio(AudioSegmentEnd())
        async for item in generator:
            told.append(item)
            if sum(isinstance(item, AudioSegmentEnd) for item in told) and len(told) > 80:
                break
        live.close()
        return told

    told = asyncio.run(talk())
    sound = [item for item in told if isinstance(item, rtc.AudioFrame)]
    assert sum(item.samples_per_channel for item in sound) == round(1.13 * OUT)
    assert {item.samples_per_channel for item in sound[:-1]} == {OUT // 25}
    for before, item in zip(told, told[1:], strict=False):
        assert not isinstance(item, rtc.AudioFrame) or isinstance(before, rtc.VideoFrame)
    end = next(k for k, item in enumerate(told) if isinstance(item, AudioSegmentEnd))
    assert isinstance(told[end - 1], rtc.AudioFrame)
    assert isinstance(told[0], rtc.VideoFrame) and (told[0].width, told[0].height) == (64, 64)
    assert all(isinstance(item, rtc.VideoFrame) for item in told[end + 1 :])


class Participant:
    async def publish_track(self, track, options):
        return Publication()


class Publication:
    async def wait_for_subscription(self) -> None:
        return None


class Room(rtc.EventEmitter):
    """A room without a server: tracks are published into nothing."""

    local_participant = Participant()

    def isconnected(self) -> bool:
        return True


class Sink:
    """What the runner hands over, in place of the synchroniser; it takes its time, as that one does."""

    def __init__(self) -> None:
        self.samples, self.pictures = 0, 0

    async def push(self, frame: object, timestamp: float | None = None) -> None:
        await asyncio.sleep(random.uniform(0, 0.01))
        if isinstance(frame, rtc.AudioFrame):
            self.samples += frame.samples_per_channel
        else:
            self.pictures += 1

    async def aclose(self) -> None:
        return None


def test_the_position_is_exact_over_a_hundred_interruptions(avatar) -> None:
    async def talk() -> None:
        random.seed(7)
        live = avatar.live(render="image", size=64, seed=1)
        generator, output = AvatarVideoGenerator(live), QueueAudioOutput(sample_rate=RATE)
        runner = AvatarRunner(Room(), audio_recv=output, video_gen=generator, options=generator.options(64, 64))
        await runner._av_sync.aclose()
        runner._av_sync = sink = Sink()
        finished: list[object] = []
        output.on("playback_finished", finished.append)
        await runner.start()
        for number in range(100):
            begin = sink.samples
            for frame in pieces(1.0):
                await output.capture_frame(frame)
            output.flush()
            await asyncio.sleep(random.uniform(0.3, 0.7))
            output.clear_buffer()
            for _ in range(200):
                if len(finished) > number:
                    break
                await asyncio.sleep(0.005)
            said = sink.samples - begin
            assert finished[number].interrupted
            assert finished[number].playback_position == pytest.approx(said / OUT, abs=1e-9), number
            await asyncio.sleep(0.1)
            assert sink.samples - begin == said, "sound after an interruption"
        begin = sink.samples
        for frame in pieces(0.63):
            await output.capture_frame(frame)
        output.flush()
        await asyncio.wait_for(output.wait_for_playout(), 60)
        assert not finished[-1].interrupted and finished[-1].playback_position == pytest.approx(0.63, abs=1e-9)
        assert sink.samples - begin == round(0.63 * OUT) and sink.pictures > 1000
        await runner.aclose()
        live.close()

    asyncio.run(talk())


def test_a_session_of_motion_alone_is_refused(avatar) -> None:
    async def first() -> None:
        async for _ in AvatarVideoGenerator(avatar.live()):
            return

    with pytest.raises(Exception, match="a session with pictures"):
        asyncio.run(first())


def test_stereo_and_silence_are_taken(avatar) -> None:
    async def push() -> float:
        live = avatar.live(render="image", size=64)
        generator = AvatarVideoGenerator(live)
        both = np.stack([babble(0.5), babble(0.5)], 1)
        await generator.push_audio(rtc.AudioFrame(both.tobytes(), RATE, 2, len(both)))
        return live.stats.queued_seconds

    assert asyncio.run(push()) == pytest.approx(0.5)
