"""The verb ``live``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from gaussavatar.errors import UserError
from gaussavatar.packages import require_stream


@dataclass(frozen=True)
class Live:
    """Let an avatar answer live in the browser: to a microphone, sounds, texts, or the speech of another program."""

    folder: Positional[tuple[Path, ...]] = ()
    """The avatar folder; the one fitted last below ./avatars when not given."""

    avatar: Path | None = None
    """The same."""

    render: Literal["client", "server"] = "client"
    """client: motion is sent and the browser draws, dozens of visitors per core; server: video is sent."""

    hearing: Literal["light", "best"] = "light"
    """Which of the avatar's networks hears the speech; best is closer, where the avatar has it, and slower."""

    port: int = 8090
    """Port of the page and of the sockets."""

    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 or :: serves the whole network, whoever knows the token."""

    shared: bool = False
    """One session for everybody: every page sees and hears the same, and only programs speak (/feed, --stdin)."""

    stdin: bool = False
    """Speak what comes by standard input: PCM, mono, 16 bits, little endian. Implies --shared."""

    rate: int = 16000
    """Samples per second of standard input."""

    record: Path | None = None
    """Write what is given out to an mp4 file, of later sessions to the same name with a number."""

    most: int | None = None
    """Visitors at once; 64 where browsers draw, 4 where video is sent."""

    size: int | None = None
    """Side of the pictures of video and recording, pixels; as filmed when not given."""

    background: str = "plate"
    """Behind the person in video and recording: plate (as filmed) or a colour such as #1e90ff."""

    engine: str | None = None
    """Speech engine for texts; the first that is installed when not given."""

    voice: str | None = None
    """Its voice."""

    language: str | None = None
    """Language of texts, such as de or en-gb."""

    stun: str = ""
    """A STUN server (stun:HOST:PORT), for visitors from outside a network; by default nobody is asked."""

    open_browser: bool = True
    """Whether to open the page in the browser."""

    def run(self) -> None:
        """Serve until interrupted."""
        from gaussavatar.avatar.finding import find_avatar

        if not 8000 <= self.rate <= 96000:
            raise UserError("a --rate of 8000 to 96000 samples per second", f"{self.rate}", "give the sound's own rate")
        if not 0 <= self.port <= 65535:
            raise UserError("a port from 1 to 65535", f"{self.port}", "name another one with --port")
        if self.most is not None and not 1 <= self.most <= 1000:
            raise UserError("--most from 1 to 1000", f"{self.most}", "give another number")
        named = (*self.folder, *(() if self.avatar is None else (self.avatar,)))
        if len(named) > 1:
            raise UserError("one avatar", f"{len(named)} of them", "name one; start another server for another one")
        folder = find_avatar(named[0] if named else None)
        require_stream()
        from gaussavatar.live.config import LiveConfig, Voice
        from gaussavatar.live.server import serve_live

        config = LiveConfig(
            folder,
            render=self.render,
            hearing=self.hearing,
            host=self.host,
            port=self.port,
            shared=self.shared or self.stdin,
            stdin_rate=self.rate if self.stdin else None,
            record=self.record,
            most=self.most,
            size=self.size,
            background=self.background,
            stun=self.stun,
            voice=Voice(self.engine, self.voice, self.language),
        )
        serve_live(config, self.open_browser)
