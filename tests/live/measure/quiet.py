"""An hour in which nobody speaks, and one of silence that is pushed, on a clock that is pretended: nothing waits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from gaussavatar.avatar.avatar import load_avatar
from gaussavatar.avatar.live.records import FPS
from gaussavatar.bench.live import RATE
from tests.live.measure.visitors import resident

STRETCH = 600.0
"""Seconds that a line of figures is of."""


def measure_quiet(folder: Path, seconds: float) -> None:
    """Print, for each ten minutes: blinks, how far frames are from their moments, how open the mouth is, and memory."""
    avatar = load_avatar(folder)
    for name, silence in (("nobody speaks", None), ("silence pushed", np.zeros(RATE, np.int16))):
        now = 0.0
        live = avatar.live(rate=RATE, seed=0, clock=lambda: now)  # noqa: B023
        presence, rest = live._presence, avatar.rest.mouth_codes
        lids = presence._lids
        shut = (presence._rest[lids] + presence._high[lids]) / 2
        begun, stretch, index, off = time.process_time(), 0, 0, 0.0
        while index < seconds * FPS:
            mouth, lid_rows, late = 0.0, [], 0
            stretch += 1
            while index < min(seconds, stretch * STRETCH) * FPS:
                if silence is not None and index % FPS == 0:
                    live.push(silence, RATE)
                now = index / FPS
                for frame in live.poll():
                    off = max(off, abs(frame.time - frame.index / FPS))
                    mouth = max(mouth, float(np.abs(frame.motion.codes - rest).max()))
                    lid_rows.append(bool((frame.motion.upper[lids] > shut).all()))
                    late += sum(event.kind == "late" for event in frame.events)
                    assert not frame.audio.any(), "sound of silence"
                index += 1
            blinks = int(np.count_nonzero(np.diff(np.array(lid_rows, int)) > 0))
            print(
                f"{name}, to {now / 60:.0f} min: {len(lid_rows)} frames, {1e6 * off:.2f} us off at most, "
                f"{blinks} blinks, mouth {mouth:.3f} from rest, {late} late, {live.stats.queued_seconds:.2f} s wait, "
                f"{resident():.1f} MB, {time.process_time() - begun:.0f} s of CPU",
                flush=True,
            )
        live.close()
