"""The verbs that use an avatar: speak, view, evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from gaussavatar.cli.common import print_metrics, say, shown


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
        from gaussavatar.view.app import serve
        from gaussavatar.view.live import find_fit

        folder = find_fit(self.avatar) if self.live else find_avatar(self.avatar)
        serve(folder, self.audio, self.port, self.open_browser, self.mode, self.host, self.live)


@dataclass(frozen=True)
class Evaluate:
    """Compute the held-out figures of an avatar again; writes report/metrics.json and report/report.html."""

    avatar: Positional[Path | None] = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    save_frames: Path | None = None
    """Folder for real_%06d.png and rendered_%06d.png of the held-out frames, lossless."""

    lpips_weights: Path | None = None
    """State dict of torchvision's AlexNet or VGG-16 (.safetensors or .pth): adds LPIPS, with the linear heads of that
    file or of an installed lpips package, else a perceptual distance."""

    def run(self) -> None:
        """Evaluate, then print the figures."""
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.evaluate.evaluate import evaluate_avatar
        from gaussavatar.progress import TerminalProgress

        folder = find_avatar(self.avatar)
        print_metrics(evaluate_avatar(folder, self.save_frames, TerminalProgress(), self.lpips_weights))
        say(f"metrics: {shown(folder / 'report' / 'metrics.json')}")
        if self.save_frames is not None:
            say(f"frames:  {shown(self.save_frames)}")


@dataclass(frozen=True)
class Export:
    """Write an avatar for other programs; ply is the avatar at rest, as splat viewers and editors read it."""

    avatar: Positional[Path | None] = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    format: str = "ply"
    """Format to write: ply."""

    out: Path | None = None
    """The file to write; <name of the avatar>.<format> when not given."""

    def run(self) -> None:
        """Write the file and say where it is."""
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.export.registry import export_avatar

        path, count = export_avatar(find_avatar(self.avatar), self.format, self.out)
        say(f"{count} Gaussians: {shown(path)}")
