"""The formats that hold a motion apart from the avatar's own, described without loading what writes them."""

from __future__ import annotations

from gaussavatar.export.stills import MOUTH
from gaussavatar.export.writer import Writer

MOVING = {
    "ply-sequence": Writer(
        "a motion as a folder with a ply per frame",
        True,
        "-ply",
        "gaussavatar.export.ply_sequence",
        shaping={"mouth": MOUTH},
        many=True,
    ),
    "arkit": Writer(
        "a motion as 52 curves, as Live Link Face writes them",
        True,
        ".csv",
        "gaussavatar.export.arkit",
        whole=True,
        counts="frames of 52 curves",
    ),
}
