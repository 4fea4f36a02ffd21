"""Let another program's speech be spoken by a live page.

gaussavatar live AVATAR, the page at http://localhost:8090/?session=demo, and then:
python examples/07_feed_a_live_page.py SOUND.wav [ws://localhost:8090/feed?session=demo]
"""

from __future__ import annotations

import json
import sys

import soundfile
from websockets.sync.client import connect


def main(sound: str, address: str = "ws://localhost:8090/feed?session=demo") -> None:
    samples, rate = soundfile.read(sound, dtype="int16", always_2d=True)
    with connect(address) as feed:
        feed.send(json.dumps({"kind": "hello", "rate": rate}))
        for start in range(0, len(samples), rate // 10):
            feed.send(samples[start : start + rate // 10, 0].tobytes())
        feed.send(json.dumps({"kind": "flush"}))
        for message in map(json.loads, feed):
            print(message.get("event") or message["kind"], message.get("position", ""))
            if message.get("event") == "finished":
                return


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
