"""What the quality gate leaves behind: the verdict, what led to it, and every figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.storage import read_json, write_json

Verdict = Literal["good", "usable", "not usable"]
Severity = Literal["stop", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing about the clip: ``stop`` makes it not usable, ``warning`` less than good, ``note`` neither.

    ``found`` says what is, ``advice`` what to do about it (empty where nothing needs to be done).
    """

    severity: Severity
    subject: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Dropped:
    """A stretch of the clip that training will not use: from, to (seconds), and why."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Quality:
    """The verdict on a clip; plain data, ``quality.json``.

    ``figures`` are those of :mod:`gaussavatar.quality.figures`, with ``None`` for what could not be measured;
    ``source`` are the facts of the capture.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    figures: Mapping[str, float | None]
    dropped: tuple[Dropped, ...]
    source: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """The verdict and, where it is not good, its reasons, in one line."""
        reasons = [finding.found for finding in self.findings if finding.severity == self._deciding]
        return self.verdict + (f" ({'; '.join(reasons)})" if reasons else "")

    @property
    def _deciding(self) -> str:
        return {"good": "", "usable": "warning", "not usable": "stop"}[self.verdict]


def save_quality(folder: Path, quality: Quality) -> None:
    """Write ``quality.json`` into a capture folder, atomically."""
    write_json(CaptureLayout(folder).quality, msgspec.to_builtins(quality))


def load_quality(folder: Path) -> Quality:
    """Read :func:`save_quality`.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = CaptureLayout(folder).quality
    try:
        return msgspec.convert(read_json(path), Quality)
    except msgspec.ValidationError as error:
        raise UserError(f"a quality record in {path}", f"a damaged one ({error})", "delete it and run again") from error
