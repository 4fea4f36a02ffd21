"""What ``gaussavatar live`` was asked to serve."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MOST = {"client": 64, "server": 4}
"""Visitors at once, where nothing else is asked for: drawn by themselves, and drawn here."""


@dataclass(frozen=True)
class Voice:
    """Which engine says texts."""

    engine: str | None = None
    voice: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class LiveConfig:
    """One avatar, live."""

    avatar: Path
    render: Literal["client", "server"] = "client"
    hearing: Literal["light", "best"] = "light"
    host: str = "127.0.0.1"
    port: int = 8090
    shared: bool = False
    """One session for everybody, in which only programs speak."""
    stdin_rate: int | None = None
    """Samples per second of the PCM that standard input brings; None does not read it."""
    record: Path | None = None
    most: int | None = None
    size: int | None = None
    background: str = "plate"
    stun: str = ""
    voice: Voice = field(default_factory=Voice)

    @property
    def most_visitors(self) -> int:
        """Visitors at once."""
        return MOST[self.render] if self.most is None else self.most
