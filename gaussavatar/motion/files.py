"""Motion from a file, told by what is in it and not by its name."""

from __future__ import annotations

from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.motion.arkit import ArkitCurves, curves_of_json, curves_of_table, is_curves, read_json_text
from gaussavatar.motion.sheet import is_sheet
from gaussavatar.motion.table import read_table
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import is_safetensors


def read_motion(path: Path | str) -> MotionTrack | ArkitCurves:
    """Read a motion track (safetensors or a table), or curves of ARKit's shapes (a table or JSON).

    Raises:
        UserError: the file is missing, damaged, or of another kind; of tables, column and row are named.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"a motion at {path}", "no such file", "give one that --save-motion or a phone wrote")
    if is_safetensors(path):
        return MotionTrack.load(path)
    content = read_json_text(path)
    if content is not None:
        return curves_of_json(path, content)
    table = read_table(path)
    if is_sheet(table):
        return MotionTrack.load(path)
    if is_curves(table):
        return curves_of_table(table)
    named = ", ".join(table.header[:6])[:80]
    do = "give columns mouth_0 and so on, or the names of ARKit's shapes"
    raise UserError(f"a motion track or ARKit curves in {path}", f"columns {named}", do)
