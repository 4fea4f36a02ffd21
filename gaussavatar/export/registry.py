"""The export formats by name, and writing one; a new format is one file and its entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaussavatar.errors import UserError
from gaussavatar.export.moving import MOVING
from gaussavatar.export.stills import STILLS
from gaussavatar.export.whole import WHOLE
from gaussavatar.export.writer import Writer

if TYPE_CHECKING:
    from gaussavatar.export.states import MotionWish
    from gaussavatar.motion.track import MotionTrack

WRITERS: dict[str, Writer] = {**STILLS, **MOVING, **WHOLE}
"""The command line shows these without loading what writes them."""


def export_avatar(
    avatar: Path,
    kind: str,
    out: Path | None = None,
    motion: MotionTrack | MotionWish | None = None,
    options: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Path, int]:
    """Write an avatar as ``kind``; returns where and how many Gaussians (or what else the format counts).

    Args:
        avatar: its folder.
        kind: one of :data:`WRITERS`.
        out: the file; named after the avatar, in the working directory, when None.
        motion: what it does; None is its filmed track, or, for a format that does not move, the closed mouth and the
            calm face of the clip. Of a format that does not move, the first frame of a track is written.
        options: by the names of the writer's options; words as the command line has them are read.
        tell: is called with what a format has to say of a file, line by line.

    Raises:
        UserError: an unknown format or option, a damaged avatar, or an output that cannot be written.
    """
    from gaussavatar.avatar.load import load_avatar
    from gaussavatar.avatar.mark import mark_of
    from gaussavatar.export.states import MotionWish, states

    if kind not in WRITERS:
        raise UserError(f"a format: {', '.join(WRITERS)}", repr(kind), "name one of these with --format")
    writer = WRITERS[kind]
    chosen = writer.chosen(options or {})
    if kind in WHOLE and motion not in (None, MotionWish()):
        raise UserError(f"no motion for {kind}, which moves by itself", "one", "leave --motion and the controls out")
    path = destination(writer, chosen, avatar.resolve().name, out)
    loaded = load_avatar(avatar)
    if motion is None or isinstance(motion, MotionWish):
        motion = (motion or MotionWish()).track(loaded, writer.moves)
    track = motion if writer.moves else motion.frames(0, 1)
    given = loaded if writer.whole else states(loaded, track, chosen.get("mouth", 1.0))
    return path, writer.write(path, given, track, chosen, tell, mark_of(loaded.record))


def destination(writer: Writer, chosen: Mapping[str, Any], name: str, out: Path | None) -> Path:
    """Where the format goes: a file, or a folder where that was chosen.

    Raises:
        UserError: a folder was given for a file, or a file for a folder.
    """
    if writer.many or chosen.get(writer.folder):
        path = out or Path(f"{name}{writer.suffix if writer.many else '_page'}")
        if path.exists() and not path.is_dir():
            raise UserError("a folder for --out", f"the file {path}", "name a folder")
        return path
    path = out or Path(f"{name}{writer.suffix}")
    if path.is_dir():
        raise UserError("a file name for --out", f"the folder {path}", f"add a name such as avatar{writer.suffix}")
    return path
