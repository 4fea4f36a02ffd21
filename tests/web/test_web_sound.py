"""Sound in a browser: what is heard is what the lips say."""

from __future__ import annotations

import shutil
import time
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussavatar.audio.drive import DriveConfig, codes_for_audio
from gaussavatar.avatar.load import load_avatar
from gaussavatar.export.gsa.speech import speech_sections
from gaussavatar.media.sound import as_waveform
from gaussavatar.resources import resource
from gaussavatar.types import Waveform
from tests.unit.audio.sounds import speech_like
from tests.web.arrays import write_arrays
from tests.web.browser import Page, chromium, find_chromium, served
from tests.web.test_web_speech import CLOSED, network, streamed

RATE, SECONDS = 24_000, 1.6
ENCODER, CONFIG = network(), DriveConfig()


def spoken_sound() -> tuple[np.ndarray, Waveform]:
    """The sound as 16-bit samples of another rate, and as the program hears it."""
    speech = speech_like(SECONDS * 1.5, seed=5).samples[: int(SECONDS * RATE)]
    samples = np.round(np.clip(3 * speech, -0.99, 0.99) * 32767).astype(np.int16)
    return samples, as_waveform((samples, RATE))


@pytest.fixture(scope="module")
def site(toy_avatar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("sound")
    avatar = load_avatar(toy_avatar)
    record = replace(avatar.record, drive=CONFIG, light=None)
    meta, sections = speech_sections(replace(avatar, encoder=ENCODER, record=record))
    write_arrays(folder / "avatar", {**sections, "drive.closed": CLOSED}, {"speech": meta})
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(spoken_sound()[0].tobytes())
    shutil.copytree(resource("assets") / "web", folder / "web")
    shutil.copy(Path(__file__).with_name("sound.html"), folder / "index.html")
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def page(site: str) -> Iterator[Page]:
    with chromium((300, 200)) as page:
        page.open(f"{site}/index.html")
        page.wait_for("window.speaker !== undefined")
        yield page


@pytest.fixture(autouse=True)
def quiet(page: Page) -> Iterator[None]:
    """Every test begins in silence, and leaves no error behind."""
    page.evaluate("speaker.clear(); said.length = played.length = 0")
    yield
    assert page.errors == []


def at(codes: np.ndarray, seconds: float) -> np.ndarray:
    """Codes at a moment, linear between the middles of frames."""
    place = np.clip(seconds * 25 - 0.5, 0, len(codes) - 1)
    return np.stack([np.interp(place, np.arange(len(codes)), column) for column in codes.T], -1)


def compared(seen: list[dict[str, Any]], codes: np.ndarray) -> np.ndarray:
    """Largest error of each of the shown codes."""
    return np.array([np.abs(np.array(one["codes"]) - at(codes, one["seconds"])).max() for one in seen])


def test_a_file_is_spoken_with_its_codes_on_the_clock_of_the_sound(page: Page) -> None:
    length = page.evaluate("speaker.speak(new Blob([wav]))")
    assert length == pytest.approx(SECONDS, abs=1e-3)
    seen = [one for one in page.evaluate("watch(.8)") if one["codes"]]
    assert len(seen) > 3 and all(one["speaking"] for one in seen)
    codes = codes_for_audio(ENCODER, spoken_sound()[1], closed=CLOSED, config=CONFIG)
    assert np.median(compared(seen, codes)) < 0.01 < codes.std(axis=0).min()
    (played,) = page.evaluate("played.map(({ at, samples, rate }) => ({ at, samples, rate }))")
    assert np.median([abs(one["clock"] - played["at"] - one["seconds"]) for one in seen]) < 0.01
    page.wait_for("said.some(([state]) => state === 'end')")
    assert [state for state, _ in page.evaluate("said")] == ["start", "end"]
    assert page.evaluate("speaker.now()") == {"seconds": 0, "codes": None, "speaking": False}


def test_pushed_pieces_join_without_a_gap_and_the_lips_are_in_time(page: Page) -> None:
    seen = page.evaluate(
        """(async () => {
          for (let at = 0; at < pcm.length; at += 4001) speaker.push(pcm.subarray(at, at + 4001), 24000);
          return watch(2.5);
        })()"""
    )
    played = page.evaluate("played.map(({ at, samples, rate, data }) => ({ at, samples, rate, data }))")
    for first, second in zip(played, played[1:], strict=False):
        assert second["at"] == pytest.approx(first["at"] + first["samples"] / first["rate"], abs=1e-6)
    sound, waveform = np.concatenate([one["data"] for one in played]), spoken_sound()[1]
    heard = as_waveform((sound.astype(np.float32), int(played[0]["rate"]))).samples[: len(waveform.samples)]
    assert np.corrcoef(heard, waveform.samples)[0, 1] > 0.99
    talking = [one for one in seen if one["codes"] and 0 < one["seconds"] < SECONDS - 0.2]
    errors = compared(talking, streamed(ENCODER, waveform, CLOSED, CONFIG))
    assert len(talking) > 5 and np.median(errors) < 0.03
    assert [state for state, _ in page.evaluate("said")] == ["start", "end"]
    assert not seen[-1]["speaking"] and seen[-1]["codes"] is None


def test_a_late_piece_is_heard_after_a_pause_that_the_lips_know_of(page: Page) -> None:
    seen = page.evaluate(
        """(async () => {
          speaker.push(pcm.subarray(0, 12000), 24000);
          const first = await watch(0.75);
          speaker.push(pcm.subarray(12000, 24000), 24000);
          return [...first, ...await watch(1.5)];
        })()"""
    )
    assert seen[-1]["speaking"] is False
    played = page.evaluate("played.map(({ at, samples, rate }) => ({ at, samples, rate }))")
    ends = [one["at"] + one["samples"] / one["rate"] for one in played]
    assert all(later["at"] >= end - 1e-6 for end, later in zip(ends, played[1:], strict=False))
    assert 1.0 < ends[-1] - played[0]["at"]


def test_clear_is_silent_at_once_and_closes_the_mouth(page: Page) -> None:
    page.evaluate("speaker.push(pcm, 24000)")
    page.wait_for("speaker.now().seconds > .5")
    before, first, last = page.evaluate(
        """(async () => {
          const before = told(speaker.now());
          speaker.clear();
          const first = told(speaker.now());
          await wait(60);
          const middle = told(speaker.now());
          await wait(300);
          return [before, middle, told(speaker.now())];
        })()"""
    )
    assert page.evaluate(
        "played.every((one) => one.stopped || one.at + one.samples / one.rate < speaker.context.currentTime)"
    )
    assert not first["speaking"] and last["codes"] is None
    if first["codes"] is not None:
        away = [np.abs(np.array(one["codes"]) - CLOSED).max() for one in (before, first)]
        assert away[1] < away[0]
    assert page.evaluate("said") == [["start", {}], ["end", {"cleared": True}]]


def test_a_stream_is_followed_with_and_without_its_own_delay(page: Page) -> None:
    for delay in ("false", "true"):
        page.evaluate("speaker.clear(); said.length = 0")
        seen = page.evaluate(
            f"""(async () => {{
              const {{ context }} = speaker, to = context.createMediaStreamDestination();
              const node = context.createBufferSource();
              node.buffer = await context.decodeAudioData(wav.slice(0));
              node.connect(to);
              await speaker.listen(to.stream, {{ delay: {delay} }});
              node.start();
              return watch(1.2);
            }})()"""
        )
        shown = np.array([one["codes"] for one in seen if one["codes"]])
        assert len(shown) > 5 and shown.std(axis=0).min() > 0.05
        states = [state for state, _ in page.evaluate("said")]
        assert states == (["start"] if delay == "true" else ["lag", "start"])


def test_the_far_end_of_a_call_is_followed(page: Page) -> None:
    seen = page.evaluate(
        """(async () => {
          const { context } = speaker, to = context.createMediaStreamDestination(), node = context.createBufferSource();
          const [here, there] = [new RTCPeerConnection(), new RTCPeerConnection()];
          here.onicecandidate = ({ candidate }) => candidate && there.addIceCandidate(candidate);
          there.onicecandidate = ({ candidate }) => candidate && here.addIceCandidate(candidate);
          Object.assign(node, { buffer: await context.decodeAudioData(wav.slice(0)), loop: true });
          node.connect(to);
          node.start();
          const voice = new Promise((resolve) => (there.ontrack = ({ streams }) => resolve(streams[0])));
          here.addTrack(to.stream.getAudioTracks()[0], to.stream);
          await here.setLocalDescription(await here.createOffer());
          await there.setRemoteDescription(here.localDescription);
          await there.setLocalDescription(await there.createAnswer());
          await here.setRemoteDescription(there.localDescription);
          await speaker.listen(await voice, { delay: true });
          const seen = [];
          for (let round = 0; round < 20 && new Set(seen.map(({ codes }) => codes?.[1])).size < 20; round++) {
            seen.push(...await watch(0.5));
          }
          node.stop();
          here.close();
          there.close();
          return seen;
        })()"""
    )
    shown = np.array([one["codes"] for one in seen if one["codes"] and one["speaking"]])
    assert len(shown) > 10 and shown[5:].std(axis=0).min() > 0.05


def test_the_microphone_is_followed(page: Page) -> None:
    page.evaluate("navigator.mediaDevices.getUserMedia({ audio: true }).then((stream) => speaker.listen(stream))")
    page.wait_for("speaker.now().speaking && speaker.now().codes")
    page.evaluate("speaker.clear()")
    assert [state for state, _ in page.evaluate("said")] == ["lag", "start", "end"]


def test_what_is_no_sound_is_refused_in_one_sentence(page: Page) -> None:
    sentence = page.evaluate("speaker.speak(new ArrayBuffer(100)).catch((error) => error.message)")
    assert sentence == "This sound cannot be decoded by this browser."
    assert (
        page.evaluate("speaker.listen(new MediaStream()).catch((error) => error.message)")
        == "This stream has no sound."
    )
    refused = "(() => { try { speaker.push(pcm, 12); } catch (error) { return error.message; } })()"
    assert "cannot be heard" in page.evaluate(refused)
    assert page.evaluate("told(speaker.now())")["speaking"] is False


def test_before_a_click_the_page_says_once_that_it_must_not_play_and_begins_after_it(site: str) -> None:
    with chromium((300, 200), ["--autoplay-policy=document-user-activation-required"]) as page:

        def untouched(expression: str) -> Any:
            """As ``evaluate``, which counts as a click of the visitor's."""
            found = page.call("Runtime.evaluate", expression=expression, awaitPromise=True)
            return found["result"].get("value")

        page.call("Page.navigate", url=f"{site}/index.html#speak")
        end = time.monotonic() + 30
        while not untouched("window.said?.length === 2 && played.length === 1"):
            assert time.monotonic() < end, untouched("JSON.stringify(window.said)")
            time.sleep(0.05)
        # Were it told again and again, it would be by now.
        states = untouched("wait(600).then(() => said.map(([state]) => state).join())")
        assert sorted(states.split(",")) == ["blocked", "start"] and untouched("speaker.now().seconds") == 0
        page.evaluate("speaker.context.resume()")
        page.wait_for("said.some(([state]) => state === 'end')")


def test_how_late_it_is_heard_is_asked_once_the_loudspeakers_are_open(site: str, page: Page) -> None:
    """Firefox may stand still for ever when it is asked while it opens them."""
    page.open(f"{site}/index.html?anew")
    page.wait_for("window.speaker !== undefined")
    page.evaluate(
        "window.asked = []; const { get } = Object.getOwnPropertyDescriptor(AudioContext.prototype, 'outputLatency');"
        "Object.defineProperty(AudioContext.prototype, 'outputLatency',"
        " { get() { asked.push(this.currentTime); return get.call(this); } });"
        "speaker.push(pcm, 24000), speaker.now(), 1"
    )
    page.wait_for("asked.length > 0")
    assert page.evaluate("Math.min(...asked)") > 0.25
