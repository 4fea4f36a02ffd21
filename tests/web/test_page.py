"""The custom element in a browser: its pictures against ours, and what it does on a page."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.export.gsa.read import read_gsa
from gaussavatar.media.images import read_image
from gaussavatar.motion.viewpoint import head_motion, orbited
from gaussavatar.resources import resource
from gaussavatar.types import Camera
from tests.web.browser import Page, PageError, chromium, find_chromium, served
from tests.web.conftest import frame_job, psnr
from tests.web.test_drawing import FRAMES, GREY, drawn_by_us

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body style="margin:0">
<script>window.said = [];</script>
<script type="module">
  import "./web/element.js";
  window.avatar = document.querySelector("gauss-avatar");
  for (const name of ["ready", "error"]) avatar.addEventListener(name, (event) => said.push([name, event.detail]));
  window.bytes = async (picture) => {
    const { data, width, height } = await picture;
    let text = "";
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return { width, height, data: btoa(text) };
  };
  window.still = () => avatar.shadowRoot.querySelector("p").textContent;
</script>
<gauss-avatar orbit style="width: 256px"></gauss-avatar><div style="height: 3000px"></div>"""
COLOR = "#" + "".join(f"{round(255 * value):02x}" for value in GREY)


@pytest.fixture(scope="module")
def site(odd_gsa: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(resource("assets") / "web", folder / "web")
    data = odd_gsa.read_bytes()
    files = {"odd.gsa": data, "newer.gsa": data[:4] + b"\x02" + data[5:], "cut.gsa": data[:-50], "none.gsa": b"hello"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "index.html").write_text(PAGE)
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser(site: str) -> Iterator[Page]:
    with chromium((400, 400)) as page:
        yield page


@pytest.fixture
def page(browser: Page, site: str) -> Page:
    """A fresh page with the avatar, its first picture drawn."""
    browser.errors.clear()
    browser.open(f"{site}/index.html")
    browser.wait_for("Boolean(window.avatar)")
    browser.evaluate("avatar.setAttribute('src', 'odd.gsa')")
    browser.wait_for("said.length")
    assert browser.evaluate("said[0][0]") == "ready", browser.evaluate("said")
    return browser


def picture(page: Page) -> np.ndarray:
    found = page.evaluate("bytes(avatar.picture())")
    flat = np.frombuffer(base64.b64decode(found["data"]), np.uint8)
    return flat.reshape(found["height"], found["width"], 4)


def set_frame(page: Page, avatar: LoadedAvatar, index: int) -> None:
    job = frame_job(avatar, index, 0, ())
    page.evaluate(f"Object.assign(avatar, {{codes: {job['codes']}, upper: {job['upper']}, pose: {job['pose']}}}) && 0")


def set_attributes(page: Page, **values: object) -> None:
    for name, value in values.items():
        page.evaluate(f"avatar.setAttribute('{name}', '{value}')")


@pytest.mark.parametrize("renderer", ["gl", "cpu"])
def test_page_draws_what_we_draw(page: Page, odd_avatar: LoadedAvatar, odd_gsa: Path, renderer: str) -> None:
    file = read_gsa(odd_gsa)
    set_attributes(page, renderer=renderer, background=COLOR, torso="none")
    for side in (256, 512):
        set_attributes(page, resolution=side)
        for index in FRAMES:
            set_frame(page, odd_avatar, index)
            found = picture(page)
            assert page.evaluate("avatar.drawnBy") == renderer and found.shape == (side, side, 4)
            assert psnr(found[..., :3], drawn_by_us(odd_avatar, file, index, side)) >= 60, f"{side} px, frame {index}"
    assert page.errors == []


@pytest.mark.parametrize("renderer", ["gl", "cpu"])
def test_orbit_is_our_orbit(page: Page, odd_avatar: LoadedAvatar, odd_gsa: Path, renderer: str) -> None:
    file, filmed = read_gsa(odd_gsa), odd_avatar.filmed
    set_attributes(page, renderer=renderer, background=COLOR, torso="none", resolution=256)
    set_frame(page, odd_avatar, 11)
    yaw, pitch = 0.8 * file.meta["orbit"]["yaw"][1], 0.5 * file.meta["orbit"]["pitch"][0]
    page.evaluate(f"avatar.look({yaw}, {pitch})")
    camera = Camera(filmed.T_camera_world[0], file.K, file.size, file.size)
    turned = orbited(camera, np.array(file.meta["orbit"]["centre"]), np.radians(yaw), np.radians(pitch)).T_camera_world
    seen = turned @ head_motion(filmed.T_camera_world[11], filmed.T_camera_world[0])
    assert psnr(picture(page)[..., :3], drawn_by_us(odd_avatar, file, 11, 256, seen)) >= 60


def test_both_renderers_put_the_same_behind_the_head(page: Page) -> None:
    page.evaluate("avatar.pause()")
    pictures = {}
    for view in ((0, 0), (9, 5)):
        page.evaluate(f"avatar.look{view}")
        for renderer in ("gl", "cpu"):
            set_attributes(page, renderer=renderer, resolution=256)
            pictures[view, renderer] = picture(page)
        assert psnr(pictures[view, "gl"], pictures[view, "cpu"]) > 45
    corner = pictures[(0, 0), "cpu"][:20, :20].astype(int)
    assert np.abs(corner - [120, 120, 120, 255]).max() <= 8, "the filmed background"
    set_attributes(page, torso="none", background="none")
    assert picture(page)[:20, :20, 3].max() < 60, "the host page shows through"


def test_pointer_turns_the_head_within_soft_limits(page: Page) -> None:
    page.evaluate("avatar.pause()")
    before = picture(page)
    page.drag((128, 128), (180, 128))
    after = picture(page)
    assert psnr(before, after) < 35
    page.drag((60, 128), (250, 128))
    page.drag((60, 128), (250, 128))
    assert psnr(picture(page), after) < 45, "it goes on to the limit"
    limit = picture(page)
    page.drag((60, 128), (250, 128))
    assert psnr(picture(page), limit) > 45, "and no further"
    page.evaluate("avatar.look(0, 0)")
    assert psnr(picture(page), before) > 50


def frames_within(page: Page, seconds: float) -> int:
    page.evaluate("new Promise((done) => setTimeout(done, 300))")
    first = page.evaluate("avatar.frames")
    page.evaluate(f"new Promise((done) => setTimeout(done, {1000 * seconds}))")
    return page.evaluate("avatar.frames") - first


def test_idle_moves_and_rests_where_nobody_looks(page: Page) -> None:
    assert frames_within(page, 1.0) > 3
    first = picture(page)
    page.evaluate("new Promise((done) => setTimeout(done, 500))")
    assert psnr(picture(page), first) < 45
    page.evaluate("scrollTo(0, 2000)")
    assert frames_within(page, 0.7) == 0, "scrolled out of sight"
    page.evaluate("scrollTo(0, 0)")
    assert frames_within(page, 1.0) > 3
    page.evaluate("avatar.pause()")
    assert frames_within(page, 0.7) == 0
    page.evaluate("avatar.look(8, 0)")
    assert frames_within(page, 0.0) >= 0 and page.evaluate("avatar.frames") > 0
    page.evaluate("avatar.resume()")
    assert frames_within(page, 1.0) > 3
    assert page.errors == []


@pytest.mark.parametrize(
    ("name", "word"),
    [("none", "no avatar file"), ("newer", "version 2"), ("cut", "cut short"), ("missing", "cannot be fetched (404)")],
)
def test_bad_files_end_in_one_sentence_on_the_page(page: Page, name: str, word: str) -> None:
    page.evaluate(f"avatar.setAttribute('src', '{name}.gsa')")
    page.wait_for("said.length > 1")
    kind, detail = page.evaluate("said[1]")
    assert kind == "error" and word in detail["message"] and page.evaluate("still()") == detail["message"]
    page.evaluate("avatar.setAttribute('src', 'odd.gsa')")
    page.wait_for("said.length > 2")
    assert page.evaluate("said[2][0]") == "ready" and page.evaluate("still()") == "", "and the next file is shown"


def test_bad_background_is_said(page: Page) -> None:
    set_attributes(page, background="#12")
    page.wait_for("said.length > 1")
    assert "#12 is no colour" in page.evaluate("still()")
    set_attributes(page, background="nowhere.png")
    page.wait_for("said.length > 2")
    assert "nowhere.png cannot be read" in page.evaluate("still()")
    assert picture(page)[..., 3].max() == 255


def test_what_left_the_page_for_good_is_freed_and_comes_back(page: Page) -> None:
    page.evaluate(
        "window.ended = 0; const { terminate } = Worker.prototype;"
        "Worker.prototype.terminate = function () { window.ended++; terminate.call(this); };"
        "const other = document.createElement('section'); document.body.prepend(other); other.append(avatar)"
    )
    page.evaluate("new Promise((done) => setTimeout(done, 1300))")
    assert page.evaluate("ended") == 0 and frames_within(page, 1.0) > 3, "it was only moved"
    page.evaluate("avatar.remove()")
    page.wait_for("ended === 1")
    assert page.evaluate("avatar.drawnBy") == ""
    page.evaluate("document.body.prepend(avatar)")
    page.wait_for("avatar.drawnBy")
    assert frames_within(page, 1.0) > 3 and page.evaluate("ended") == 1
    assert page.errors == []


SOUND = """(() => {
  const context = new OfflineAudioContext(1, 16000 * 2, 16000), buffer = context.createBuffer(1, 32000, 16000);
  buffer.getChannelData(0).forEach((_, i, all) => (all[i] = 0.4 * Math.sin(i * (0.1 + 0.05 * Math.sin(i / 900)))));
  return buffer;
})()"""


def test_page_speaks_moves_and_says_when(page: Page) -> None:
    page.evaluate(
        "['start', 'end'].forEach((name) => avatar.addEventListener(name, (e) => said.push([name, e.detail])))"
    )
    set_attributes(page, background=COLOR, torso="none", resolution=128)
    page.evaluate(f"avatar.speak({SOUND}).then((seconds) => (window.length = seconds))")
    page.wait_for("said.some(([name]) => name === 'start')")
    assert page.evaluate("window.length") == 2 and frames_within(page, 0.8) > 4
    page.wait_for("said.some(([name]) => name === 'end')")
    page.evaluate("avatar.speak(new Blob(['no sound'])).catch(() => 0)")
    assert "cannot be decoded" in page.evaluate("still()") and page.evaluate("said.at(-1)[0]") == "error"
    codes = [[0.0, 0, 0, 0]] * 2 + [[3.0, 0, 0, 0]] * 100
    page.evaluate(f"said.length = 0; avatar.play({{ codes: {codes}, upper: Array(102).fill([0, 0, 1]) }})")
    page.evaluate("new Promise((done) => setTimeout(done, 300))")
    playing = picture(page)
    page.evaluate("avatar.clear()")
    assert [name for name, _ in page.evaluate("said")] == ["start", "end"]
    page.evaluate("new Promise((done) => setTimeout(done, 700))")
    assert psnr(picture(page), playing) < 45, "it goes over softly"
    with pytest.raises(PageError, match="as wide as this avatar's"):
        page.evaluate("avatar.play({ codes: [[1, 2]] })")
    assert page.errors == []


def test_page_plays_curves_and_refuses_other_tables(page: Page) -> None:
    page.evaluate("avatar.addEventListener('end', () => said.push(['end']))")
    table = "mouth_0,place\\n1,2\\n"
    with pytest.raises(PageError, match="made by another avatar"):
        page.evaluate(f"avatar.play('{table}')")
    assert "made by another avatar" in page.evaluate("still()")
    page.evaluate("avatar.play(new Blob(['timecode,jawOpen\\n' + '0,1\\n'.repeat(9)])).catch((error) => error.message)")
    page.evaluate("avatar.play({ codes: Array(5).fill([1, 0, 0, 0]) })")
    page.wait_for("said.at(-1)[0] === 'end'")


def test_the_last_of_several_files_is_shown(page: Page) -> None:
    page.evaluate(
        "window.both = fetch('odd.gsa').then((r) => r.arrayBuffer()).then((file) =>"
        " Promise.allSettled([avatar.load(file.slice()), avatar.load(file.slice())]))"
    )
    page.evaluate("new Promise((done) => setTimeout(done, 30)); avatar.setAttribute('src', 'odd.gsa')")
    page.wait_for("said.filter(([name]) => name === 'ready').length > 1")
    assert frames_within(page, 1.0) > 3 and page.evaluate("still()") == "" and page.errors == []


@pytest.mark.parametrize("renderer", ["gl", "cpu"])
def test_host_page_shows_through_as_if_it_were_under(
    page: Page, odd_avatar: LoadedAvatar, odd_gsa: Path, tmp_path: Path, renderer: str
) -> None:
    page.evaluate(f"document.body.style.background = '{COLOR}'; avatar.pause()")
    set_attributes(page, renderer=renderer, background="none", torso="none", resolution=256)
    set_frame(page, odd_avatar, 0)
    alpha = picture(page)[..., 3]
    assert ((alpha > 50) & (alpha < 200)).sum() > 500, "much of it is half transparent"
    page.screenshot(tmp_path / "page.png")
    shown = read_image(tmp_path / "page.png")[:256, :256]
    assert psnr(shown, drawn_by_us(odd_avatar, read_gsa(odd_gsa), 0, 256)) > 48


def test_a_sharp_screen_gets_its_own_pixels(site: str) -> None:
    # In an emulated screen the browser tells nothing of its pixels, so that this needs a browser of its own.
    with chromium((400, 400), ["--force-device-scale-factor=1.5"]) as page:
        page.open(f"{site}/index.html")
        page.evaluate("avatar.setAttribute('renderer', 'gl')")
        page.evaluate("avatar.setAttribute('src', 'odd.gsa')")
        page.wait_for("said.length")
        assert picture(page).shape[:2] == (384, 384)


@pytest.mark.parametrize(
    "worker",
    [
        "constructor() { throw new Error('forbidden'); }",
        "constructor() { setTimeout(() => this.onerror(new Event('error')), 20); } postMessage() {} terminate() {}",
    ],
    ids=["refused", "dies"],
)
def test_draws_by_itself_where_there_is_no_worker(page: Page, worker: str) -> None:
    set_attributes(page, background=COLOR, torso="none", resolution=128)
    page.evaluate(f"window.Worker = class {{ {worker} }}; avatar.setAttribute('src', 'odd.gsa?again')")
    page.wait_for("said.length > 1")
    assert page.evaluate("said[1][0]") == "ready" and frames_within(page, 1.0) > 3 and page.errors == []
