"""The verb ``track``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from gaussavatar.cli.clip import ClipOptions
from gaussavatar.cli.common import print_quality, say, shown
from gaussavatar.packages import require_tracking


@dataclass(frozen=True)
class Track(ClipOptions):
    """Stop after preprocessing: frames, head poses, masks and, where there is sound, audio features."""

    video: Positional[Path]
    """Any video that ffmpeg reads, with one face; sound is not needed."""

    out: Path | None = None
    """Folder to write; ./tracks/<name of the video> when not given."""

    def run(self) -> None:
        """Track, then say where the result is."""
        require_tracking("track")
        self.check_video()
        from gaussavatar.capture.layout import CaptureLayout
        from gaussavatar.fitting.fit import track
        from gaussavatar.progress import TerminalProgress

        folder = track(self.request(), TerminalProgress())
        print_quality(folder)
        say(f"tracking: {shown(folder)}")
        say(f"quality:  {shown(CaptureLayout(folder).quality_page)}")
