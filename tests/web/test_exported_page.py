"""The exported page in a browser: from disk and from a server, it loads, moves, and speaks a sound of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.export.registry import export_avatar
from tests.web.browser import Page, chromium, find_chromium, served

STATUS = "document.getElementById('status').textContent"
READY = f"{STATUS} !== 'Loading ...' && {STATUS}"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a buzz whose loudness goes up and down as syllables do."""
    moments = np.arange(16_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 140 * k * moments) / k for k in range(1, 12))
    path = tmp_path_factory.mktemp("sound") / "buzz.wav"
    soundfile.write(path, (0.1 * buzz * np.sin(2 * np.pi * 2 * moments) ** 2).astype(np.float32), 16_000)
    return path


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine")
    with chromium((700, 800)) as opened:
        yield opened


def colours(page: Page) -> int:
    """How many different colours the picture has: a blank one has few."""
    script = "avatar.picture().then(({data}) => new Set(new Uint32Array(data.buffer)).size)"
    return page.evaluate(script)


def test_page_from_disk_speaks_the_sound_inside(page: Page, toy_avatar: Path, sound: Path, tmp_path: Path) -> None:
    options = {"quality": "small", "audio": sound}
    path, _ = export_avatar(toy_avatar, "web", tmp_path / "toy.html", options=options)
    page.open(path.as_uri())
    assert "Drop a sound" in page.wait_for(READY)
    assert page.evaluate("document.title") == "nobody (synthetic)" and colours(page) > 100
    page.evaluate(
        "window.told = [];"
        "for (const name of ['start', 'end', 'error']) avatar.addEventListener(name, () => told.push(name));"
        "document.getElementById('play').click()"
    )
    page.wait_for("told.includes('end')")
    assert page.evaluate("told") == ["start", "end"] and page.evaluate("document.getElementById('stop').disabled")
    assert page.evaluate("document.getElementById('play').textContent") == "Play buzz"
    assert page.errors == []


def test_workers_of_the_page_may_run_the_kernels(page: Page) -> None:
    # What the driver itself evaluates is under no policy; a worker is under the page's.
    empty = "new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0))"
    script = f"try {{ {empty}; postMessage(1) }} catch {{ postMessage(0) }}"
    page.evaluate(
        "window.runs = null; const trial = new Worker('data:text/javascript,' + encodeURIComponent("
        f"{json.dumps(script)})); trial.onmessage = ({{ data }}) => (runs = [data])"
    )
    page.wait_for("window.runs")
    assert page.evaluate("runs") == [1]


def test_page_hears_the_microphone_and_stops(page: Page) -> None:
    """On the page of the test before; the browser's microphone is a beep."""
    page.evaluate("window.told = []; document.getElementById('microphone').click()")
    page.wait_for("told.includes('start')")
    assert page.evaluate("document.getElementById('microphone').getAttribute('aria-pressed')") == "true"
    page.evaluate("document.getElementById('stop').click()")
    assert page.evaluate("document.getElementById('microphone').getAttribute('aria-pressed')") == "false"
    assert page.wait_for("told.includes('end')") and page.errors == []


def test_a_sound_that_is_none_is_told_in_a_sentence(page: Page) -> None:
    """On the same page."""
    page.evaluate(
        "const kept = new DataTransfer(); kept.items.add(new File(['this is no sound'], 'talk.mp3'));"
        "dispatchEvent(new DragEvent('drop', { dataTransfer: kept }))"
    )
    message = "avatar.shadowRoot.querySelector('p').textContent"
    assert "cannot be decoded" in page.wait_for(message)
    assert page.evaluate("document.getElementById('stop').disabled")


def test_folder_from_a_server_and_why_not_from_disk(page: Page, toy_avatar: Path, tmp_path: Path) -> None:
    folder, _ = export_avatar(toy_avatar, "web", tmp_path / "site", options={"quality": "small", "split": True})
    with served(folder) as address:
        page.open(f"{address}/index.html")
        assert "Drop a sound" in page.wait_for(READY) and colours(page) > 100
        made = "import('./player.mjs').then(({ GaussAvatar }) => GaussAvatar.prototype instanceof HTMLElement)"
        assert page.evaluate(made)
    page.open((folder / "index.html").as_uri())
    assert "without --split" in page.wait_for(READY)
