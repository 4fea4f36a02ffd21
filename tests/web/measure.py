"""How quick the page and the viewer are: ``python -m tests.web.measure AVATAR SOUND``.

Prints, with the load: pictures per second and the age of the codes that are shown while a page speaks, how long
a sound takes until it is heard, and the time from a slider's move in the viewer to the picture that shows it. Pictures
of the processor's path; a machine with a GPU draws another way.
"""

from __future__ import annotations

import base64
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from gaussavatar.export.registry import export_avatar
from gaussavatar.serving.address import free_port
from gaussavatar.view.pages import Asked, PageServer

from .browser import Page, chromium

AVATAR = "document.querySelector('gauss-avatar')"
HOOKS = """
window.asked = 0, window.ages = [], window.drawn = [];
const post = Worker.prototype.postMessage, put = CanvasRenderingContext2D.prototype.putImageData;
Worker.prototype.postMessage = function (message, rest) {
  if (message.codes) window.asked = performance.now();
  return post.call(this, message, rest);
};
CanvasRenderingContext2D.prototype.putImageData = function (...given) {
  put.apply(this, given);
  window.drawn.push(performance.timeOrigin + performance.now());
  window.ages.push(performance.now() - window.asked);
};
1"""


def speaking(page: Page, html: Path, sound: Path, size: int) -> dict[str, float]:
    """A page from disk speaks a sound that it was never given."""
    page.open(html.as_uri())
    page.wait_for(f"{AVATAR}?.drawnBy")
    page.evaluate(f"({AVATAR}.setAttribute('renderer', 'cpu'), {AVATAR}.setAttribute('resolution', '{size}'), 1)")
    page.evaluate(HOOKS)
    data = base64.b64encode(sound.read_bytes()).decode()
    page.evaluate(f"window.said = Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0)); 1")
    page.evaluate(f"window.over = false, {AVATAR}.addEventListener('end', () => (window.over = true)), 1")
    ready = page.evaluate(
        f"(async () => {{ const t = performance.now(); await {AVATAR}.speak(new Blob([window.said]));"
        " window.ages.length = window.drawn.length = 0; return performance.now() - t; })()"
    )
    page.wait_for("window.over", 120)
    ages, drawn = np.array(page.evaluate("window.ages")), np.array(page.evaluate("window.drawn"))
    return {
        "seconds until it is heard": ready / 1000,
        "pictures per second": 1000 * (len(drawn) - 1) / (drawn[-1] - drawn[0]),
        "age of the codes shown, median ms": float(np.median(ages)),
        "age of the codes shown, p90 ms": float(np.percentile(ages, 90)),
    }


def sliding(page: Page, server: PageServer, moves: int = 40) -> dict[str, float]:
    """The lip slider of the viewer is moved while the motion stands still."""
    page.open(server.address)
    page.wait_for("window.gaussavatarViewer?.seen.get(0)?.motion && gaussavatarViewer.seen.get(0).face")
    page.wait_for("document.getElementById('panels').contentDocument?.body?.innerText.includes('mouth opening')")
    page.evaluate(f"{AVATAR}.setAttribute('renderer', 'cpu')")
    page.evaluate(HOOKS)
    slider = next(iter(server.sessions.values())).panels["face"].opening
    took = []
    for move in range(moves):
        time.sleep(0.4)
        page.evaluate("window.drawn.length = 0; 1")
        moved = time.time()
        slider.value = 0.1 + 0.5 * (move % 2)
        page.wait_for("window.drawn.length > 0")
        took.append(1000 * (page.evaluate("window.drawn[0]") / 1000 - moved))
    return {"slider to picture, median ms": float(np.median(took)), "p90 ms": float(np.percentile(took, 90))}


def main() -> None:
    """Measure and print."""
    avatar, sound = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="gaussavatar-measure-") as name:
        html, copy = Path(name) / "page.html", Path(name) / "avatar"
        export_avatar(avatar, "web", html, tell=lambda _: None)
        shutil.copytree(avatar, copy, ignore=shutil.ignore_patterns("capture", "train"))
        server = PageServer(Asked((copy,), port=free_port("127.0.0.1", 8500)))
        server.open()
        threading.Thread(target=server.run, daemon=True).start()
        with chromium((700, 700)) as page:
            for size in (256, 512):
                figures = speaking(page, html, sound, size)
                print(f"page, {size} px: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()))
        with chromium((1200, 700)) as page:
            while server.shown.at("/avatar/0.gsa") is None:
                time.sleep(0.2)
            figures = sliding(page, server)
            print("viewer: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()))
        server.close()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
