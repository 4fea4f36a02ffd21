"""A headless Firefox that a test drives: a small part of WebDriver BiDi over a websocket."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from .browser import end

PATIENCE = 60.0
PREFERENCES = {
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


def find_firefox() -> str | None:
    """The browser's path, or None where there is none."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


class Fox:
    """One page of Firefox."""

    def __init__(self, link: Any) -> None:
        self._link, self._number = link, 0
        self.call("session.new", capabilities={})
        self._context = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; returns its result."""
        self._number += 1
        self._link.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._link.recv(timeout=PATIENCE))
            if message.get("id") == self._number:
                assert message["type"] == "success", f"{method}: {message}"
                return message["result"]

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression that comes to something plain; of a promise, what it comes to."""
        found = self.call(
            "script.evaluate", expression=f"(async () => JSON.stringify(await ({expression})) ?? 'null')()",
            target={"context": self._context}, awaitPromise=True, userActivation=True,
        )  # fmt: skip
        assert found["type"] == "success", found["exceptionDetails"]["text"]
        return json.loads(found["result"]["value"])

    def wait_for(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Ask again and again until an expression is true; returns its value."""
        latest = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < latest, f"never came: {expression}"
            time.sleep(0.1)
        return value

    def screenshot(self, path: Path) -> None:
        """The page as a PNG."""
        shown = self.call("browsingContext.captureScreenshot", context=self._context)
        path.write_bytes(base64.b64decode(shown["data"]))


@contextmanager
def firefox() -> Iterator[Fox]:
    """A new browser with one page; it and its profile are gone afterwards.

    Raises:
        RuntimeError: there is no browser, or it does not start.
    """
    program = find_firefox()
    if program is None:
        raise RuntimeError("no Firefox on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="gaussavatar-firefox-", ignore_cleanup_errors=True) as name:
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in PREFERENCES.items()]
        (Path(name) / "user.js").write_text("\n".join(lines))
        command = [program, "--headless", "--no-remote", "--profile", name, f"--remote-debugging-port={port}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with _connected(f"ws://127.0.0.1:{port}/session", process) as link:
                yield Fox(link)
        finally:
            end(process)


def _connected(address: str, process: subprocess.Popen) -> Any:
    latest = time.monotonic() + PATIENCE
    while time.monotonic() < latest and process.poll() is None:
        try:
            return connect(address, max_size=None, compression=None, open_timeout=PATIENCE)
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("Firefox does not start")
