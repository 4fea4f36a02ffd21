"""Example 08 beside an agent: the real output, receiver, runner and synchroniser on a room without a server."""

from __future__ import annotations

import asyncio
import os
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

pytest.importorskip("livekit.agents", reason="livekit-agents is not here: python -m tests.frameworks.run livekit")

from livekit import rtc
from livekit.agents.voice.avatar import DataStreamAudioOutput

from tests.frameworks.loopback import joined
from tests.frameworks.toy import EXAMPLES, RATE, avatar_here, babble, example

OUT = 48_000
PATIENCE = 60.0


def module_of(name: str) -> ModuleType:
    spec = spec_from_file_location("example", EXAMPLES / name)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def said(output: DataStreamAudioOutput, seconds: float) -> None:
    sound, n = babble(seconds), RATE // 50
    for k in range(0, len(sound), n):
        part = sound[k : k + n]
        await output.capture_frame(rtc.AudioFrame(part.tobytes(), RATE, 1, len(part)))


def test_an_agent_is_answered_with_exact_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    avatar_here()
    agent, avatar = joined()
    heard: list[int] = []
    seen: list[tuple[int, int]] = []
    capture, show = rtc.AudioSource.capture_frame, rtc.VideoSource.capture_frame

    async def hear(self: rtc.AudioSource, frame: rtc.AudioFrame) -> None:
        await capture(self, frame)
        heard.append(frame.samples_per_channel)

    def see(self: rtc.VideoSource, frame: rtc.VideoFrame, **more: object) -> None:
        show(self, frame, **more)
        seen.append((frame.width, frame.height))

    monkeypatch.setattr(rtc, "Room", lambda: avatar)
    monkeypatch.setattr(rtc.AudioSource, "capture_frame", hear)
    monkeypatch.setattr(rtc.VideoSource, "capture_frame", see)

    async def talk() -> list[object]:
        await agent.connect("", "")
        main = module_of("08_livekit_agent.py").main
        avatar_runs = asyncio.create_task(main(os.environ["GAUSSAVATAR_TEST_AVATAR"], "ws://nowhere", "token"))
        output = DataStreamAudioOutput(agent, destination_identity="avatar", sample_rate=RATE)
        finished: list[object] = []
        output.on("playback_finished", finished.append)
        while "lk.clear_buffer" not in avatar.local_participant._rpc_handlers:
            assert not avatar_runs.done(), avatar_runs.exception()
            await asyncio.sleep(0.05)
        await said(output, 1.13)
        output.flush()
        await asyncio.wait_for(output.wait_for_playout(), PATIENCE)
        assert sum(heard) == round(1.13 * OUT)
        for _ in range(5):
            before = sum(heard)
            await said(output, 2.0)
            output.flush()
            while sum(heard) < before + OUT // 4:
                await asyncio.sleep(0.01)
            output.clear_buffer()
            await asyncio.wait_for(output.wait_for_playout(), PATIENCE)
            assert finished[-1].interrupted
            assert finished[-1].playback_position == pytest.approx((sum(heard) - before) / OUT, abs=1e-6)
            await asyncio.sleep(0.3)
            assert finished[-1].playback_position == pytest.approx((sum(heard) - before) / OUT, abs=1e-6), "said later"
        avatar_runs.cancel()
        await asyncio.gather(avatar_runs, return_exceptions=True)
        return finished

    finished = asyncio.run(talk())
    assert len(finished) == 6 and not finished[0].interrupted
    assert finished[0].playback_position == pytest.approx(1.13, abs=1e-6)
    assert [type(track).__name__ for track in avatar.local_participant.published] == [
        "LocalAudioTrack", "LocalVideoTrack"
    ]  # fmt: skip
    assert len(seen) > 25 and set(seen) == {(512, 512)}


def test_the_example_says_what_is_missing() -> None:
    avatar_here()
    told = example("08_livekit_agent.py")
    assert told.returncode == 1 and "python examples/08_livekit_agent.py AVATAR" in told.stderr
    here = os.environ["GAUSSAVATAR_TEST_AVATAR"]
    for words, line in (((here,), "LIVEKIT_TOKEN"), ((here, "ws://127.0.0.1:1", "token"), "refused")):
        told = example("08_livekit_agent.py", *words)
        last = told.stderr.strip().splitlines()[-1]
        assert told.returncode == 1 and "Traceback" not in told.stderr and last.startswith("error: "), told.stderr
        assert line in last
