"""The verb ``export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from gaussavatar.cli.common import say, shown
from gaussavatar.errors import UserError
from gaussavatar.export.registry import WRITERS

FORMAT_HELP = f"What to write: {'; '.join(f'{name}: {writer.holds}' for name, writer in WRITERS.items())}."
OPTIONS_HELP = "About the file. " + " ".join(
    f"{kind}: {'; '.join(f'{name}={option.default}: {option.meaning}' for name, option in writer.options.items())}."
    for kind, writer in WRITERS.items()
)


@dataclass(frozen=True)
class Export:
    """Write an avatar for other programs."""

    avatar: Positional[Path | None] = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    format: Annotated[str, arg(metavar="{" + ",".join(WRITERS) + "}", help=FORMAT_HELP)] = "ply"

    out: Path | None = None
    """The file to write; <name of the avatar>.<format> when not given."""

    set: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...", help=OPTIONS_HELP)] = ()

    def run(self) -> None:
        """Write the file and say where it is."""
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.export.registry import export_avatar

        options = words(self.set)
        path, count = export_avatar(find_avatar(self.avatar), self.format, self.out, options=options, tell=say)
        say(f"{count} Gaussians: {shown(path)}")


def words(given: tuple[str, ...]) -> dict[str, str]:
    """``name=value`` words by name.

    Raises:
        UserError: a word is not of that form.
    """
    pairs = [word.partition("=") for word in given]
    for word, (name, equals, value) in zip(given, pairs, strict=True):
        if not (name and equals and value):
            raise UserError("NAME=VALUE after --set", repr(word), "write, for example, faintest=0.02")
    return {name: value for name, _, value in pairs}
