"""Where everything of a fit is, beside the avatar's own files, which :mod:`gaussavatar.avatar.folder` names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaussavatar.avatar.finding import CAPTURE
from gaussavatar.capture.layout import CaptureLayout


@dataclass(frozen=True)
class FitLayout:
    """The paths in the folder of a fit.

    What training keeps of itself in :attr:`train` (checkpoints, log, preview, description) is named by the modules that
    write it.
    """

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the one process that writes here."""
        return self.folder / ".lock"

    @property
    def owner(self) -> Path:
        """Which video it is of, and what was said of the person."""
        return self.folder / "video.json"

    @property
    def plan(self) -> Path:
        """What was planned for a given time; only there where one was given."""
        return self.folder / "plan.json"

    @property
    def capture(self) -> CaptureLayout:
        """The clip as it was prepared."""
        return CaptureLayout(self.folder / CAPTURE)

    @property
    def train(self) -> Path:
        """Folder of the training."""
        return self.folder / "train"

    @property
    def config(self) -> Path:
        """The whole recipe as it was used."""
        return self.train / "config.yaml"

    @property
    def voices(self) -> Path:
        """The clip's sound in other voices, as the audio networks hear them."""
        return self.train / "voices.safetensors"

    def encoder(self, name: str) -> Path:
        """An audio network after pre-training."""
        return self.train / f"encoder_{name}.safetensors"

    @property
    def poses(self) -> Path:
        """The head poses that training ended with."""
        return self.train / "poses.safetensors"

    @property
    def trained(self) -> Path:
        """What training knows of the avatar's record; a later stage adds what the user says."""
        return self.train / "record.json"

    @property
    def report(self) -> Path:
        """Folder of the figures."""
        return self.folder / "report"

    @property
    def metrics(self) -> Path:
        """The held-out figures."""
        return self.report / "metrics.json"

    @property
    def page(self) -> Path:
        """The report to look at."""
        return self.report / "report.html"

    @property
    def video(self) -> Path:
        """Held-out frames beside rendered ones."""
        return self.report / "held_out.mp4"
