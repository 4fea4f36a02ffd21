"""The verb ``view``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from gaussavatar.cli.common import require_files, say
from gaussavatar.errors import UserError

MOST_COMPARED = 6
"""Avatars side by side: a browser on two cores draws no more."""


@dataclass(frozen=True)
class View:
    """Look at an avatar live in the browser: orbit, play an audio's motion, move lids, brows and lips."""

    avatars: Positional[tuple[Path, ...]] = ()
    """Avatar folders, several to compare; the one fitted last below ./avatars when not given. Or a .ply of Gaussians
    by any program, or a GaussianAvatars folder (point_cloud.ply, flame_param.npz)."""

    avatar: Path | None = None
    """The same for one."""

    audio: Path | None = None
    """Sound that drives the avatar; without it the clip's own motion is played."""

    motion: Path | None = None
    """A motion file, or 52 ARKit curves, instead of what a sound gives."""

    port: int = 8080
    """Port of the page; the next free one is taken when it is in use."""

    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 or :: shows the page to the whole network, whoever knows its token."""

    mode: Literal["player", "stream", "splats"] = "player"
    """player: drawn by the browser, in step with the sound; stream: images rendered here (a fit that is running, an
    avatar with movements by name); splats: viser's Gaussians."""

    open_browser: bool = True
    """Whether to open the page in the browser."""

    live: bool = False
    """Follow a fit while it runs: its newest state, stage and step, and its newest picture."""

    def run(self) -> None:
        """Serve the page until interrupted."""
        for option, path in (("--audio", self.audio), ("--motion", self.motion)):
            require_files(option, () if path is None else (path,))
        folders = (*self.avatars, *(() if self.avatar is None else (self.avatar,)))
        if any(folder.suffix.lower() == ".ply" or (folder / "point_cloud.ply").is_file() for folder in folders):
            self._cloud(folders)
            return
        if self.mode == "player" and not self.live:
            self._pages(folders)
            return
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.view.live import find_fit
        from gaussavatar.view.server import serve

        if len(folders) > 1 or self.motion is not None:
            raise UserError("one avatar and no --motion", f"--mode {self.mode}", "use --mode player for these")
        first = folders[0] if folders else None
        folder = find_fit(first) if self.live else find_avatar(first)
        mode = "stream" if self.mode == "player" else self.mode
        serve(folder, self.audio, self.port, self.open_browser, mode, self.host, self.live)

    def _cloud(self, files: tuple[Path, ...]) -> None:
        """Gaussians from a file: one state, which nothing moves."""
        path, *others = files
        if others or self.audio is not None or self.motion is not None or self.live:
            raise UserError(
                "one cloud of Gaussians alone", "other files, --audio, --motion or --live", "show it by itself"
            )
        from gaussavatar.view.cloud import serve_cloud

        serve_cloud(path, self.host, self.port, self.open_browser)

    def _pages(self, folders: tuple[Path, ...]) -> None:
        """Pages that draw themselves; what is wrong with their files is said before anything is opened."""
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.avatar.folder import open_folder
        from gaussavatar.serving.address import free_port
        from gaussavatar.view.pages import Asked, serve_pages

        if len(folders) > MOST_COMPARED:
            raise UserError(f"at most {MOST_COMPARED} avatars to compare", f"{len(folders)}", "name fewer")
        found = tuple(find_avatar(folder) for folder in folders or (None,))
        named = [bool(open_folder(folder).record.expression_names) for folder in found]
        if named == [True] and self.motion is None:
            from gaussavatar.view.server import serve

            say(
                "this avatar has movements by name, which the page cannot draw: pictures come from here (--mode stream)"
            )
            serve(found[0], self.audio, self.port, self.open_browser, "stream", self.host)
            return
        port = free_port(self.host, self.port)
        serve_pages(Asked(found, self.audio, self.motion, self.host, port), self.open_browser)
