"""Interruptions: from the press of the button to a mouth that is closed in the page."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from tests.live.measure.common import feed, opened, visited
from tests.web.browser import chromium


def measure_clear(folder: Path, voice: np.ndarray, times: int) -> None:
    """From the press of the button to a mouth that is closed in the page."""
    server, stop = opened(folder), threading.Event()
    with chromium((700, 900)) as page:
        visited(page, server, "clear")
        took, first = [], []
        page.evaluate("window.shown = gaussavatarLive.drive.log = []")
        for _ in range(times):
            thread = threading.Thread(target=feed, args=(server, "clear", voice, 4, stop))
            began = page.evaluate("performance.now()")
            thread.start()
            page.wait_for("gaussavatarLive.events.at(-1)?.event === 'start'")
            first.append(page.evaluate("gaussavatarLive.events.at(-1).at") - began)
            time.sleep(1.2)
            page.evaluate("shown.length = 0")
            stop.set()
            pressed = page.evaluate(
                "(gaussavatarLive.events.length = 0, gaussavatarLive.actions.stop(), performance.now())"
            )
            page.wait_for("gaussavatarLive.events.some(({ event }) => event === 'finished')")
            last = page.evaluate("gaussavatarLive.events.find(({ event }) => event === 'finished').frame") + 2
            page.wait_for(f"shown.some(([, index]) => index >= {last})")
            took.append(
                page.evaluate(f"shown.find(([, index]) => index >= {last})[0] + gaussavatarLive.drive.lead") - pressed
            )
            thread.join()
            stop.clear()
    server.close()
    closed = np.array(took)
    for name, each in (("speech sent to heard and seen", np.array(first)), ("press to closed mouth", closed)):
        print(f"{name}: median {np.median(each):.0f} ms, p95 {np.percentile(each, 95):.0f} ms", flush=True)
