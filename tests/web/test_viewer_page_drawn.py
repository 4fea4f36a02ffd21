"""The viewer's page in a browser: it draws, plays, follows sliders and wishes, and shows the real film."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gaussavatar.serving.address import free_port
from gaussavatar.view.pages import Asked, PageServer

from .browser import PATIENCE, Page, chromium, find_chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine"),
]
"""Opens one browser; seconds of it are its start."""

AVATAR = "document.querySelector('gauss-avatar')"
SUM = f"{AVATAR}.picture().then(({{ data }}) => data.reduce((sum, value, i) => (sum + value * (1 + i % 97)) % 1e9, 0))"


@pytest.fixture(scope="module")
def opened(toy_avatar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PageServer, Page]]:
    folder = tmp_path_factory.mktemp("viewed") / "anna"
    shutil.copytree(toy_avatar, folder)
    server = PageServer(Asked((folder,), port=free_port("127.0.0.1", 8460)))
    server.open()
    threading.Thread(target=server.run, daemon=True).start()
    with chromium((1000, 700)) as page:
        page.open(server.address)
        page.wait_for(
            f"{AVATAR}?.drawnBy && gaussavatarViewer.seen.get(0).motion && gaussavatarViewer.seen.get(0).face"
        )
        yield server, page
    server.close()


def panels(server: PageServer) -> dict[str, Any]:
    return next(iter(server.sessions.values())).panels


def settled(page: Page) -> int:
    """The picture once the torso's video has come to the place where the head is."""
    sums = [-1, page.evaluate(SUM)]
    while sums[-1] != sums[-2] or len(sums) < 8:
        time.sleep(0.05)
        sums.append(page.evaluate(SUM))
    return sums[-1]


def test_it_draws_at_once_and_shows_the_panels(opened: tuple[PageServer, Page]) -> None:
    _, page = opened
    assert page.evaluate(f"{AVATAR}.meta.subject") == "nobody"
    page.wait_for("document.getElementById('panels').contentDocument?.body?.innerText.includes('mouth opening')")
    assert page.errors == []


def test_the_timeline_moves_the_face_and_the_head(opened: tuple[PageServer, Page]) -> None:
    _, page = opened
    page.evaluate("(gaussavatarViewer.clock.seek(0), gaussavatarViewer.actions.forth())")
    page.wait_for("document.getElementById('time').textContent.startsWith('0.04')")
    early = page.evaluate(SUM)
    for _ in range(8):
        page.evaluate("gaussavatarViewer.actions.forth()")
    page.wait_for("document.getElementById('time').textContent.startsWith('0.36')")
    assert page.evaluate(SUM) != early
    page.evaluate("gaussavatarViewer.actions.play()")
    page.wait_for("gaussavatarViewer.clock.seconds > 0.6")
    page.evaluate("gaussavatarViewer.actions.play()")
    assert page.evaluate("gaussavatarViewer.clock.playing") is False


def test_sliders_and_wishes_reach_the_picture(opened: tuple[PageServer, Page]) -> None:
    server, page = opened
    page.evaluate("(gaussavatarViewer.clock.seek(0), gaussavatarViewer.actions.back())")
    page.wait_for("document.getElementById('time').textContent.startsWith('0.00')")
    # On a busy machine the torso's video may come to its place after it looked settled, once.
    for attempt in range(2):
        shut = settled(page)
        panels(server)["face"].opening.value = 1.0
        page.wait_for(f"{SUM}.then((sum) => sum !== {shut})")
        panels(server)["face"].put_back()
        time.sleep(2.0 * (1 - attempt))
        if settled(page) == shut:
            break
    page.wait_for(f"{SUM}.then((sum) => sum === {shut})")
    page.evaluate("window.before = gaussavatarViewer.seen.get(0).motion")
    panels(server)["mouth"].gain.value = 0.0
    page.wait_for("gaussavatarViewer.seen.get(0).motion !== window.before")
    panels(server)["mouth"].put_back()


def test_arrow_keys_on_a_slider_leave_the_camera_where_it_is(opened: tuple[PageServer, Page]) -> None:
    _, page = opened
    page.evaluate(
        "window.posted = []; const { postMessage } = Worker.prototype;"
        "Worker.prototype.postMessage = function (message, rest) {"
        " const { codes, view, pose } = message;"
        " if (codes) posted.push([...view].some((value, i) => Math.abs(value - pose[i]) > 1e-4));"
        " return postMessage.call(this, message, rest); }"
    )

    def turned_by_arrows(focused: str) -> bool:
        page.evaluate(f"{focused}.focus(), posted.length = 0, 1")
        for kind in ("keyDown", "keyUp") * 3:
            page.call(
                "Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39
            )
        page.wait_for("posted.length > 0")
        time.sleep(0.3)
        return page.evaluate("posted.some(Boolean)")

    before = page.evaluate("Number(document.getElementById('seek').value)")
    assert not turned_by_arrows("document.getElementById('seek')")
    assert page.evaluate("Number(document.getElementById('seek').value)") > before, "the slider went on"
    page.wait_for("Boolean(document.getElementById('panels').contentDocument?.querySelector('[role=slider]'))")
    assert not turned_by_arrows("document.getElementById('panels').contentDocument.querySelector('[role=slider]')")
    assert turned_by_arrows(AVATAR), "on the avatar they turn it"
    page.evaluate("gaussavatarViewer.actions.front(), 1")


def test_it_looks_inside_and_comes_back(opened: tuple[PageServer, Page]) -> None:
    server, page = opened
    session = next(iter(server.sessions.values()))
    page.evaluate("(gaussavatarViewer.actions.inside(), gaussavatarViewer.clock.seek(0.8))")
    page.wait_for("document.getElementById('panels').clientWidth === document.body.clientWidth")
    assert page.evaluate("getComputedStyle(document.getElementById('stage')).visibility") == "hidden"
    end = time.monotonic() + PATIENCE
    while session._looked != 0.8 and time.monotonic() < end:
        time.sleep(0.02)
    assert session._looked == 0.8
    page.evaluate("gaussavatarViewer.actions.inside()")
    while session.inside.shown and time.monotonic() < end:
        time.sleep(0.02)
    assert not session.inside.shown
    assert page.evaluate("getComputedStyle(document.getElementById('stage')).visibility") == "visible"
    assert page.errors == []


def test_what_goes_wrong_is_said_on_the_page(opened: tuple[PageServer, Page]) -> None:
    _, page = opened
    page.evaluate("gaussavatarViewer.say({ kind: 'recall preset', name: 'nobody kept this' })")
    page.wait_for("document.getElementById('told').textContent.includes('a preset of this avatar')")
    page.evaluate("document.getElementById('compare').value = 'wipe'")
    page.evaluate("document.getElementById('compare').dispatchEvent(new Event('change'))")
    page.wait_for("document.getElementById('told').textContent.includes('not beside this avatar')")
    assert page.errors == []
