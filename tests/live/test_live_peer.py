"""WebRTC as a page has it, by aiortc: what is heard, and which motion and picture belong to it."""

from __future__ import annotations

import asyncio
import fractions
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack

from gaussavatar.live import server as server_module
from gaussavatar.live.server import LiveServer
from gaussavatar.live.sound import OpusVoice
from gaussavatar.media.probe import probe
from gaussavatar.media.sound_file import read_audio

from .conftest import Visit, speech, until

RATE, SAMPLES = 48_000, 1920
CLICK = 0.31
"""Seconds into the sound at which it clicks."""


def clicking() -> bytes:
    """A soft hum with one click in it."""
    sound = (300 * np.sin(np.arange(int(0.8 * RATE)) * 0.05)).astype(np.int16)
    sound[int(CLICK * RATE)] = 32000
    return sound.tobytes()


async def spoken(server: LiveServer, visit: Visit) -> None:
    await visit.say({"kind": "hello", "rate": RATE})
    await visit.say(clicking())
    await visit.say({"kind": "flush"})
    await visit.hear("event", "finished")
    # What was heard is behind what was told, by what is on the way.
    await asyncio.sleep(0.5)


def test_a_page_hears_what_was_said_where_the_clock_says(serve: Callable[..., LiveServer]) -> None:
    server = serve()

    async def visits() -> Visit:
        async with Visit(server) as visit:
            await visit.hear("kind", "clock")
            await visit.wait(lambda: len(visit.motion) > 5)
            await spoken(server, visit)
            return visit

    visit = asyncio.run(visits())
    clock = next(one for one in visit.told if one.get("kind") == "clock")
    start = next(one for one in visit.told if one.get("event") == "start")
    rtp = (clock["rtp"] + (start["frame"] - clock["frame"]) * SAMPLES - visit.first_rtp) % 2**32
    samples = {}
    for pts, packet in visit.sound:
        samples.update(zip(range(pts - rtp, pts - rtp + len(packet)), packet, strict=True))
    heard = np.array([samples.get(k, 0.0) for k in range(int(0.8 * RATE))])
    assert abs(np.abs(heard).argmax() - CLICK * RATE) <= 24, "the click is half a millisecond away at most"
    indices = [struct.unpack_from("<I", message)[0] for message in visit.motion]
    speaking = [index for index, message in zip(indices, visit.motion, strict=True) if message[4] & 1]
    assert indices == list(range(indices[0], indices[0] + len(indices))), "nothing is lost on this machine"
    assert start["frame"] in speaking and len(speaking) >= 19
    assert max(map(len, visit.motion)) < 160


def test_pictures_and_sound_have_one_clock(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(render="server", record=tmp_path / "given.mp4")

    async def visits() -> Visit:
        async with Visit(server) as visit:
            await spoken(server, visit)
            await visit.wait(lambda: len(visit.pictures) > 12)
            return visit

    visit = asyncio.run(visits())
    times = np.diff([pts for pts, _ in visit.pictures])
    assert set(times % 3600) == {0} and np.median(times) == 3600
    assert visit.pictures[0][1].shape == (96, 96, 3) and visit.pictures[-1][1].mean() > 20
    assert not (tmp_path / "given.mp4").exists(), "it has its name when it is whole"
    server.close()
    facts = probe(tmp_path / "given.mp4")
    assert (facts.width, facts.height) == (96, 96) and abs(facts.seconds - 2) < 1.5
    heard = read_audio(tmp_path / "given.mp4").samples
    assert np.abs(heard).max() > 0.2
    assert sorted(tmp_path.iterdir()) == [tmp_path / "given.mp4"]


class Microphone(MediaStreamTrack):
    """Speaks without a pause."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._sound, self._at = speech(60, RATE), 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(0.018)
        frame = av.AudioFrame.from_ndarray(self._sound[None, self._at : self._at + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, fractions.Fraction(1, RATE)
        self._at += 960
        return frame


def test_a_microphone_is_spoken_or_listened_to(serve: Callable[..., LiveServer]) -> None:
    server = serve()

    async def visits() -> Visit:
        async with Visit(server, microphone=Microphone()) as visit:
            await visit.say({"kind": "microphone", "mode": "listen"})
            await visit.wait(lambda: len(visit.motion) > 25)
            assert not any(message[4] & 1 for message in visit.motion), "who listens is silent"
            await visit.say({"kind": "microphone", "mode": "mirror"})
            await visit.hear("event", "start")
            await visit.wait(lambda: sum(message[4] & 1 for message in visit.motion) > 10)
            await visit.say({"kind": "microphone", "mode": "off"})
            assert not (await visit.hear("event", "finished"))["interrupted"]
            return visit

    visit = asyncio.run(visits())
    assert max(np.abs(packet).max() for _, packet in visit.sound) > 2000


def test_who_leaves_or_vanishes_frees_everything(
    serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LINGER", 0.2)
    server = serve()

    async def visits() -> None:
        async with Visit(server, "/live?session=stays") as stays:
            for way in ("leaves", "vanishes"):
                visit = await Visit(server).__aenter__()
                await visit.say({"kind": "hello", "rate": RATE})
                await visit.say(clicking())
                await visit.hear("event", "start")
                if way == "vanishes":
                    # In the middle of a word, and no word of it to the server.
                    visit.socket.transport.abort()
                await visit.__aexit__()
                await stays.wait(lambda: len(server.peers) == 1 and len(server.sessions) == 1)
            before = len(stays.motion)
            await stays.wait(lambda: len(stays.motion) > before + 10)

    asyncio.run(visits())
    until(lambda: not server.peers and not server.sessions and not len(server.pacer))


def test_a_second_offer_takes_the_place_of_the_first(serve: Callable[..., LiveServer]) -> None:
    server = serve()

    async def visits() -> None:
        async with Visit(server) as visit:
            await visit.say({"kind": "offer", "sdp": visit.peer.localDescription.sdp})
            await visit.wait(lambda: sum(one.get("kind") == "answer" for one in visit.told) == 2)
            assert len(server.peers) == 1

    asyncio.run(visits())
    until(lambda: not server.peers)


def test_encoded_sound_is_whole_and_in_its_place() -> None:
    voice, sound = OpusVoice(), np.zeros(20 * SAMPLES, np.int16)
    sound[10_000] = 30_000
    packets = [
        packet for k in range(20) for packet in voice.packets(sound[k * SAMPLES : (k + 1) * SAMPLES], (k + 7) * SAMPLES)
    ]
    # Silence is 40 ms a packet, which was encoded before; sound, and the silence after it, 20 ms.
    assert np.diff([packet.pts for packet in packets]).tolist() == [1920] * 5 + [960] * 6 + [1920] * 11
    codec = av.CodecContext.create("libopus", "r")
    codec.sample_rate, codec.layout, codec.format = RATE, "mono", "s16"  # type: ignore[attr-defined]
    frames = [frame.to_ndarray().ravel() for packet in packets for frame in codec.decode(av.Packet(bytes(packet)))]
    place = np.abs(np.concatenate(frames).astype(int)).argmax() + packets[0].pts
    assert abs(place - (10_000 + 7 * SAMPLES)) <= 2
