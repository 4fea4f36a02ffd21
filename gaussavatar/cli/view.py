"""The verb ``view``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class View:
    """Look at an avatar live in the browser: orbit, play an audio's motion, move lids, brows and lips."""

    avatar: Path | None = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    audio: Path | None = None
    """Sound that drives the avatar; without it the clip's own motion is played."""

    port: int = 8080
    """Port of the page; the next free one is taken when it is in use."""

    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 shows the page to the whole network."""

    mode: Literal["stream", "splats"] = "stream"
    """stream: images rendered here; splats: Gaussians drawn by the browser."""

    open_browser: bool = True
    """Whether to open the page in the browser."""

    live: bool = False
    """Follow a fit while it runs: its newest state, stage and step, and its newest picture."""

    def run(self) -> None:
        """Serve the page until interrupted."""
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.view.live import find_fit
        from gaussavatar.view.server import serve

        folder = find_fit(self.avatar) if self.live else find_avatar(self.avatar)
        serve(folder, self.audio, self.port, self.open_browser, self.mode, self.host, self.live)
