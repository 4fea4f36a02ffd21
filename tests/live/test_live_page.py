"""The live page in Chromium: it hears, it moves, it says what is wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile

from gaussavatar.live.server import LiveServer
from tests.web.browser import Page, chromium, find_chromium

from .conftest import speech

STATE = "document.getElementById('state').textContent"
TOLD = "document.getElementById('told').textContent"
PAGE = "gaussavatarLive"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine")
    with chromium((700, 900)) as page:
        yield page


def connected(page: Page, server: LiveServer, query: str = "") -> None:
    page.errors.clear()
    page.open(f"http://127.0.0.1:{server.config.port}/{query}")
    page.wait_for(f"window.{PAGE}")
    page.evaluate(f"{PAGE}.actions.connect()")
    page.wait_for(f"{STATE} === 'Connected'")


def drop(page: Page, content: bytes) -> None:
    """Drop a file into the page."""
    data = base64.b64encode(content).decode()
    file = f"new File([Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0))], 'said.wav')"
    page.evaluate(f"{PAGE}.play({file})")


def wav(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech(seconds), 16_000, format="wav")
    return file.getvalue()


def test_a_dropped_sound_is_spoken_in_step_and_interrupted(serve: Callable[..., LiveServer], browser: Page) -> None:
    server, page = serve(), browser
    connected(page, server)
    page.wait_for("avatar.frames > 3")
    page.evaluate(f"{PAGE}.drive.log = []")
    drop(page, wav(20))
    page.wait_for(f"{PAGE}.events.some(({{ event }}) => event === 'start')")
    page.wait_for(f"{PAGE}.drive.log.length > 25")
    assert page.evaluate("document.getElementById('stage').className") == "speaking"
    level = """(async () => {
      const context = new AudioContext(), tap = context.createAnalyser(), samples = new Float32Array(tap.fftSize);
      context.createMediaStreamSource(document.getElementById('sound').srcObject).connect(tap);
      let most = 0;
      for (let k = 0; k < 40; k++) {
        await new Promise((done) => setTimeout(done, 20));
        tap.getFloatTimeDomainData(samples);
        most = Math.max(most, ...samples.map(Math.abs));
      }
      return most;
    })()"""
    assert page.evaluate(level) > 0.05, "it is heard"
    times, frames = np.array(page.evaluate(f"{PAGE}.drive.log")).T
    assert np.diff(frames).min() >= 1
    # How exactly is measured by tests.live.measure; a machine that runs other tests beside this one draws late.
    assert np.polyfit(times, frames, 1)[0] == pytest.approx(0.025, rel=0.4), "frames run as their sound does"
    page.evaluate(f"{PAGE}.actions.stop()")
    page.wait_for(f"{TOLD}.startsWith('Interrupted after')")
    assert page.evaluate("document.getElementById('stage').className") == ""
    finished = page.evaluate(f"{PAGE}.events.at(-1)")
    assert finished["interrupted"] and 0.5 < finished["position"] < 15 and page.errors == []


def test_a_fake_microphone_is_mirrored(serve: Callable[..., LiveServer], browser: Page) -> None:
    connected(browser, serve())
    browser.evaluate(f"{PAGE}.actions.mic()")
    browser.wait_for(f"{PAGE}.events.some(({{ event }}) => event === 'start')")
    assert browser.evaluate(TOLD) in ("", "It says what you say.")
    browser.evaluate(f"{PAGE}.actions.mic()")
    browser.wait_for(f"{PAGE}.events.some(({{ event }}) => event === 'finished')")
    assert browser.errors == []


def test_video_is_shown_where_it_is_drawn_here(serve: Callable[..., LiveServer], browser: Page) -> None:
    connected(browser, serve(render="server"))
    browser.wait_for("document.getElementById('video').videoWidth === 96")
    before = browser.evaluate("document.getElementById('video').currentTime")
    browser.wait_for(f"document.getElementById('video').currentTime > {before} + 0.3")
    assert browser.evaluate("document.getElementById('avatar').hidden") and browser.errors == []


def test_a_lost_connection_is_made_anew_with_the_same_session(serve: Callable[..., LiveServer], browser: Page) -> None:
    server = serve()
    connected(browser, server)
    (name,) = server.sessions
    session = server.sessions[name]
    for client in list(session.clients):
        client._connection.transport.abort()  # type: ignore[attr-defined]
    browser.wait_for(f"{STATE}.includes('trying again')")
    browser.wait_for(f"{STATE} === 'Connected'")
    assert list(server.sessions) == [name] and server.sessions[name] is session
    browser.wait_for("avatar.frames > 0")


def test_one_sentence_for_each_failure(serve: Callable[..., LiveServer], browser: Page) -> None:
    server = serve(most=1)
    connected(browser, server)
    drop(browser, b"no sound")
    browser.wait_for(f"{TOLD}.includes('is no sound that this browser can read')")
    browser.evaluate(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }"
    )
    browser.evaluate(f"{PAGE}.actions.mic()")
    assert browser.evaluate(TOLD) == "No microphone: it was not allowed."
    # A second page is let in no more; it takes the same road as this one's.
    second = """new Promise((done) => {
      const link = new gaussavatarLive.link.constructor("");
      link.addEventListener("message", ({ detail }) => (window.said = detail));
      link.addEventListener("refused", ({ detail }) => done(detail.code));
      link.open();
    })"""
    assert browser.evaluate(second) == 1013
    assert "here already" in browser.evaluate("said.text") and browser.evaluate("said.kind") == "full"
