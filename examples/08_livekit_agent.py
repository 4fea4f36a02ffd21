"""A face for an agent of LiveKit: it joins the room and says the sound that the agent sends it by data stream.

pip install "gaussavatar-play[livekit]", and then: python examples/08_livekit_agent.py AVATAR ws://localhost:7880 TOKEN
"""

from __future__ import annotations

import asyncio
import sys

from livekit import rtc
from livekit.agents.voice.avatar import AvatarRunner, DataStreamAudioReceiver

import gaussavatar
from gaussavatar.live.frameworks.livekit import AvatarVideoGenerator


async def main(avatar: str, url: str, token: str) -> None:
    room, live = rtc.Room(), gaussavatar.load_avatar(avatar).live(render="image", size=512)
    await room.connect(url, token)
    generator = AvatarVideoGenerator(live)
    options = generator.options(512, 512)
    runner = AvatarRunner(room, audio_recv=DataStreamAudioReceiver(room), video_gen=generator, options=options)
    await runner.start()
    await runner.wait_for_complete()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
