"""The verb ``speak``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gaussavatar.cli.common import say, shown


@dataclass(frozen=True)
class Speak:
    """Let an avatar speak a sound file; writes a video with that sound, exactly as long as the audio."""

    audio: Path
    """Any sound or video file that ffmpeg reads."""

    avatar: Path | None = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    out: Path | None = None
    """The video to write; ./<avatar>-<audio>.mp4 when not given, .mov when it is transparent."""

    background: str = "plate"
    """plate: the filmed place; #rrggbb: a colour; a picture's path: that picture, cut to fill the frame; none: a video
    with transparency, ProRes 4444 (.mov) or VP9 (.webm) by the extension of --out."""

    torso: Literal["real", "gaussians"] = "real"
    """real: the filmed torso; gaussians: the torso branch, of avatars fitted with --set torso.enabled=true."""

    def run(self) -> None:
        """Render the video and say where it is."""
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.speak.offline import speak

        video = speak(self.audio, find_avatar(self.avatar), self.out, TerminalProgress(), self.background, self.torso)
        say(f"video: {shown(video)}")
