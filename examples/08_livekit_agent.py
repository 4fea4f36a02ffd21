"""A face for an agent of LiveKit: it joins the room and says the sound that the agent sends it by data stream.

pip install "gaussavatar-play[livekit]", and then: python examples/08_livekit_agent.py AVATAR [ws://HOST:7880 TOKEN]

Address and token may stand in LIVEKIT_URL and LIVEKIT_TOKEN instead; who holds the server's key makes tokens, each for
a room and an identity (livekit.api.AccessToken).
"""

from __future__ import annotations

import asyncio
import os
import sys

from livekit import rtc
from livekit.agents.voice.avatar import AvatarRunner, DataStreamAudioReceiver

import gaussavatar
from gaussavatar.live.frameworks.livekit import AvatarVideoGenerator


async def main(avatar: str, url: str, token: str) -> None:
    if not (url and token):
        raise gaussavatar.UserError("a room's address and token", "none", "give them, or LIVEKIT_URL and LIVEKIT_TOKEN")
    room, live = rtc.Room(), gaussavatar.load_avatar(avatar).live(render="image", size=512)
    await room.connect(url, token)
    generator = AvatarVideoGenerator(live)
    options = generator.options(512, 512)
    runner = AvatarRunner(room, audio_recv=DataStreamAudioReceiver(room), video_gen=generator, options=options)
    await runner.start()
    await runner.wait_for_complete()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    given = sys.argv[2:] or [os.environ.get("LIVEKIT_URL", ""), os.environ.get("LIVEKIT_TOKEN", "")]
    try:
        asyncio.run(main(sys.argv[1], *given))
    except (gaussavatar.UserError, rtc.ConnectError) as error:
        sys.exit(f"error: {error}")
