"""The verb ``demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaussavatar.cli.common import print_metrics, say, shown
from gaussavatar.packages import require_tracking


@dataclass(frozen=True)
class Demo:
    """Make a synthetic talking clip, fit an avatar to it, and let it speak a sentence that it never heard."""

    out: Path = Path("demo_out")
    """Folder to write the clip, the avatar and the video into."""

    def run(self) -> None:
        """Run the main job from end to end."""
        require_tracking("demo")
        from gaussavatar.fitting.demo import run_demo
        from gaussavatar.progress import TerminalProgress

        result = run_demo(self.out, TerminalProgress())
        print_metrics(result.metrics)
        say(f"clip:   {shown(result.clip)}")
        say(f"avatar: {shown(result.avatar)}")
        say(f"report: {shown(result.report)}")
        if result.english is not None:
            say(f"video:  {shown(result.english)} (a sentence by espeak-ng)")
        say(f"video:  {shown(result.video)}")
