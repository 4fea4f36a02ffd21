"""The verb ``fit``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from gaussavatar.cli.clip import ClipOptions
from gaussavatar.cli.common import print_metrics, say, shown
from gaussavatar.packages import require_tracking

if TYPE_CHECKING:
    from gaussavatar.fitting.request import FitRequest


@dataclass(frozen=True)
class Fit(ClipOptions):
    """Fit an avatar to a video of one person talking. Calling it again continues where it stopped."""

    video: Positional[Path]
    """Any video that ffmpeg reads, with sound and one face."""

    out: Path | None = None
    """Avatar folder to write; ./avatars/<name of the video> when not given."""

    recipe: str = "default"
    """Recipe name (preview: 256 px, default: 512 px) or a YAML file."""

    subject: str = "unknown"
    """Whose face and voice this is; stored with the avatar."""

    consent: str = "not recorded"
    """On what consent of that person: self, written, or a note; stored with the avatar."""

    seed: int = 0
    """Seed of everything random; the same seed on the same machine gives the same avatar."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: a GPU where torch sees one and gsplat is installed, else the CPU."""

    minutes: float | None = None
    """How long it may take: size and steps of the recipe are planned for it, from how fast this machine is."""

    def request(self) -> FitRequest:
        """What a fit is asked for."""
        return replace(
            super().request(),
            recipe=self.recipe,
            subject=self.subject,
            consent=self.consent,
            seed=self.seed,
            device=self.device,
            minutes=self.minutes,
        )

    def run(self) -> None:
        """Fit, then print the figures and where everything is."""
        require_tracking("fit")
        self.check_video()
        from gaussavatar.fitting.fit import fit
        from gaussavatar.progress import TerminalProgress

        result = fit(self.request(), TerminalProgress())
        print_metrics(result.metrics)
        say(f"avatar: {shown(result.avatar)}")
        say(f"report: {shown(result.report)}")
        say(f"next:   gaussavatar speak --avatar {shown(result.avatar)} --audio FILE")
