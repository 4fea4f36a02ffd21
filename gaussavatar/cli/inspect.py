"""The verbs that look at the installation: doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, which backend will be used, what is missing and what to do about it."""

    def run(self) -> int:
        """Print one line per part; the exit code is 0 when the main road works."""
        from gaussavatar.cli.doctor import run_checks

        return run_checks()
