"""How the live page fares: python -m tests.live.measure AVATAR VOICE [--minutes 1] [--only skew clear visitors ...].

Parts besides: soak (an hour is --minutes 60), and quiet (the same, on a pretended clock). EACH=FILE.npz writes every
window of the skew, over the worst network alone.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from gaussavatar.media.sound_file import read_audio
from tests.live.measure.clear import measure_clear
from tests.live.measure.quiet import measure_quiet
from tests.live.measure.skew import measure_skew
from tests.live.measure.soak import measure_soak
from tests.live.measure.visitors import measure_visitors
from tests.live.relay import Network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("voice", type=Path)
    parser.add_argument("--minutes", type=float, default=0.7)
    parser.add_argument("--only", nargs="*", default=["skew", "clear", "visitors", "video"])
    parser.add_argument("--visitors", type=int, default=50)
    asked = parser.parse_args()
    voice = (32767 * read_audio(asked.voice).samples).clip(-32768, 32767).astype(np.int16)
    seconds = 60 * asked.minutes
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    if "skew" in asked.only:
        if not os.environ.get("EACH"):
            measure_skew(asked.avatar, voice, seconds, Network(), "good network")
            measure_skew(asked.avatar, voice, seconds, Network(0.1), "jitter of 100 ms")
        measure_skew(asked.avatar, voice, seconds, Network(0.1, 12, 2), "jitter of 100 ms, stalls of 2 s")
    if "clear" in asked.only:
        measure_clear(asked.avatar, voice, max(5, int(10 * asked.minutes)))
    if "soak" in asked.only:
        measure_soak(asked.avatar, voice, seconds)
    if "quiet" in asked.only:
        measure_quiet(asked.avatar, seconds)
    if "visitors" in asked.only:
        measure_visitors(asked.avatar, voice, asked.visitors, 20 * asked.visitors // 50, 0.7 * seconds, 5, "client")
    if "video" in asked.only:
        measure_visitors(asked.avatar, voice, 4, 1, 0.5 * seconds, 4, "server")


if __name__ == "__main__":
    main()
