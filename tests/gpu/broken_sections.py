"""Sections that fail in every way there is, to test what runs them: ``python broken_sections.py --out DIR``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from runner import Options, Report, Section, Skip, main  # noqa: E402


def good(report: Report, options: Options, *given: str) -> None:
    report.note("sum", two=1 + 1, given=given)


def raises(report: Report, options: Options) -> None:
    report.note("before", reached=True)
    raise ValueError("a reason of its own")


def misses(report: Report, options: Options) -> None:
    report.expect(True, "never said")
    report.expect(False, "0.5 is above the bound")
    report.note("after", reached=True)


def skips(report: Report, options: Options) -> None:
    raise Skip("nothing to do here")


def crashes(report: Report, options: Options) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leaves(report: Report, options: Options) -> None:
    os._exit(7)


def hangs(report: Report, options: Options) -> None:
    """With a child of its own, which has to go too."""
    child = subprocess.Popen(["sleep", "600"])
    report.note("before", child=child.pid)
    time.sleep(600)


SECTIONS = (
    Section("raises", "broken_sections:raises", 30),
    Section("misses", "broken_sections:misses", 30),
    Section("skips", "broken_sections:skips", 30),
    Section("crashes", "broken_sections:crashes", 30),
    Section("leaves", "broken_sections:leaves", 30),
    Section("hangs", "broken_sections:hangs", 6),
    Section("absent", "no_such_module:at_all", 30),
    Section("good", "broken_sections:good", 30, ("a", "b")),
)

if __name__ == "__main__":
    sys.exit(main(SECTIONS, preload="nothing_to_preload"))
