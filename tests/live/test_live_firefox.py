"""The live page in Firefox: it connects, hears, draws in step, and is interrupted."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest

from gaussavatar.live.server import LiveServer
from tests.web.firefox import find_firefox, firefox

from .test_live_page import PAGE, STATE, TOLD, wav

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_firefox() is None, reason="no Firefox on this machine"),
]
"""Starts a browser: half a minute."""

PATIENT = 180.0


def test_a_dropped_sound_is_spoken_in_step_and_interrupted(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    with firefox() as page:
        page.open(f"http://127.0.0.1:{server.config.port}/")
        page.wait_for(f"!!window.{PAGE}", PATIENT)
        page.evaluate(f"{PAGE}.actions.connect()")
        page.wait_for(f"{STATE} === 'Connected'", PATIENT)
        page.wait_for("avatar.frames > 3", PATIENT)
        page.evaluate(f"{PAGE}.drive.log = []")
        data = base64.b64encode(wav(20)).decode()
        file = f"new File([Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0))], 'said.wav')"
        page.evaluate(f"{PAGE}.play({file})")
        page.wait_for(f"{PAGE}.events.some(({{ event }}) => event === 'start')", PATIENT)
        page.wait_for(f"{PAGE}.drive.log.length > 200", PATIENT)
        assert page.evaluate("document.getElementById('stage').className") == "speaking"
        times, frames = np.array(page.evaluate(f"{PAGE}.drive.log"))[100:].T
        assert np.diff(frames).min() >= 1
        assert np.polyfit(times, frames, 1)[0] == pytest.approx(0.025, rel=0.4), "frames run as their sound does"
        page.evaluate(f"{PAGE}.actions.stop()")
        page.wait_for(f"{TOLD}.startsWith('Interrupted after')", PATIENT)
        assert page.evaluate("document.getElementById('stage').className") == ""
