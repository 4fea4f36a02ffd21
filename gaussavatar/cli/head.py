"""The verb ``head``: list, show, install and remove head models, each with its own options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from gaussavatar.cli.common import say, shown


@dataclass(frozen=True)
class List:
    """The built-in head's facts and a line per installed head; fit and track use the marked one."""

    def run(self) -> None:
        """Print them."""
        from gaussavatar.head.installed import BUILT_IN, default_head_name, head_path, heads_folder, installed_heads
        from gaussavatar.head.picture import head_facts

        say(head_facts())
        default = default_head_name()
        for record in installed_heads():
            mark = " (what fit and track use)" if record.name == default else ""
            say(
                f"{record.name}: {record.variant}, licence {record.licence or 'unknown'}, {record.vertices} vertices, "
                f"{record.expressions} expressions, {shown(head_path(record.name))}{mark}"
            )
        if default == BUILT_IN:
            say(f"fit and track use the built-in head; installed heads lie in {heads_folder()}")


@dataclass(frozen=True)
class Show:
    """Write a picture of a head and print what is known of it."""

    name: Positional[str | None] = None
    """Name of the head; the built-in one when not given."""

    expression: Annotated[tuple[str, ...], arg(metavar="NAME=WEIGHT ...")] = ()
    """Expressions of the picture, such as jawOpen=0.6 eyeBlinkLeft=1."""

    out: Path = Path("head.png")
    """The png or jpg to write."""

    def run(self) -> None:
        """Write the picture and say where it is."""
        from gaussavatar.head.installed import BUILT_IN, find_head
        from gaussavatar.head.picture import head_facts, parse_weights, write_head_picture, write_head_sheet

        if self.name is not None and self.name != BUILT_IN:
            record = find_head(self.name)
            say(head_facts(self.name))
            say(
                f"{record.variant}, licence {record.licence or 'unknown'}, installed {record.installed} from "
                f"{record.source_file}, sha256 {record.source_sha256}"
            )
        weights = parse_weights(self.expression, self.name)
        if self.name is None or weights:
            write_head_picture(self.out, weights, self.name)
        else:
            write_head_sheet(self.out, self.name)
        say(f"picture: {shown(self.out)}")


@dataclass(frozen=True)
class Install:
    """Take a head model from a file of yours; it is read in a limited process."""

    path: Positional[Path]
    """FLAME's .pkl or .zip, ICT-FaceKit's folder or .npz, or GNM's .npz."""

    name: str | None = None
    """What to call the head; by its kind when not given."""

    def run(self) -> None:
        """Install it and say where it is."""
        from gaussavatar.head.install import install_head
        from gaussavatar.head.installed import default_head_name, head_path

        record = install_head(self.path, self.name, say=say)
        say(f"{record.variant} ({record.licence or 'licence unknown'}), source sha256 {record.source_sha256}")
        if record.variant.startswith("FLAME"):
            say(
                "no list of FLAME's own checksums is known here: what the file may contain was checked, "
                "its origin was not"
            )
        say(f"head: {record.name} in {shown(head_path(record.name))}")
        if default_head_name() == record.name:
            say("fit and track use it from now on")


@dataclass(frozen=True)
class Remove:
    """Delete an installed head."""

    name: Positional[str]
    """Name of the head, as gaussavatar head list names it."""

    def run(self) -> None:
        """Delete it and say what was deleted."""
        from gaussavatar.head.installed import remove_head

        say(f"removed {shown(remove_head(self.name))}")


@dataclass(frozen=True)
class Head:
    """Head models: the built-in one, and FLAME, ICT-FaceKit or GNM installed from your files."""

    action: (
        Annotated[List, subcommand("list")]
        | Annotated[Show, subcommand("show")]
        | Annotated[Install, subcommand("install")]
        | Annotated[Remove, subcommand("remove")]
    ) = field(default_factory=List)

    def run(self) -> None:
        """Do it and say where the result is."""
        self.action.run()
