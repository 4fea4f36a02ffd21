"""The verb ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from gaussavatar.cli.common import print_metrics, require_files, say, shown
from gaussavatar.packages import require_tracking


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

    speech: bool = False
    """Measure speech as well: lips, closures, action units, THEval's figures, strange voices."""

    voices: tuple[Path, ...] = ()
    """With --speech: recordings of real voices to drive the avatar with."""

    blocks: int = 11
    """With --speech: blocks of the clip that are each predicted by a network that never saw them; 0 leaves that out."""

    syncnet: Path | None = None
    """With --speech: SyncNet's weights (syncnet_v2.model, or the same as .safetensors), for its confidence."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to render."""

    def run(self) -> None:
        """Evaluate, then print the figures."""
        require_tracking("evaluate")
        require_files("--voices", self.voices)
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.evaluate.evaluate import evaluate_avatar
        from gaussavatar.evaluate.speech_tables import speech_lines
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.training.layout import FitLayout

        folder = find_avatar(self.avatar)
        progress = TerminalProgress()
        request = None
        if self.speech:
            from gaussavatar.bench.speech import speech_request

            request = speech_request(folder, self.voices, self.blocks, progress, self.syncnet)
        metrics = evaluate_avatar(folder, self.save_frames, progress, self.lpips_weights, request, self.device)
        print_metrics(metrics)
        for line in speech_lines(metrics["speech"]) if self.speech else ():
            say(line)
        say(f"metrics: {shown(FitLayout(folder).metrics)}")
        if self.save_frames is not None:
            say(f"frames:  {shown(self.save_frames)}")
