"""The verb ``export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from gaussavatar.cli.common import say, shown
from gaussavatar.export.registry import FORMATS

FORMAT_HELP = f"What to write: {'; '.join(f'{name}: {holds}' for name, holds in FORMATS.items())}."


@dataclass(frozen=True)
class Export:
    """Write an avatar for other programs."""

    avatar: Positional[Path | None] = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    format: Annotated[str, arg(metavar="{" + ",".join(FORMATS) + "}", help=FORMAT_HELP)] = "ply"

    out: Path | None = None
    """The file to write; <name of the avatar>.<format> when not given."""

    def run(self) -> None:
        """Write the file and say where it is."""
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.export.registry import export_avatar

        path, count = export_avatar(find_avatar(self.avatar), self.format, self.out)
        say(f"{count} Gaussians: {shown(path)}")
