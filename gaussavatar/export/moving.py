"""The formats that hold a motion apart from the avatar's own, described without loading what writes them."""

from __future__ import annotations

from gaussavatar.export.stills import MOUTH
from gaussavatar.export.writer import InputFile, Writer

MOVING = {
    "ply-sequence": Writer(
        "a motion as a folder with a ply per frame",
        True,
        "-ply",
        "gaussavatar.export.ply_sequence",
        shaping={"mouth": MOUTH},
        many=True,
        marked=True,
    ),
    "arkit": Writer(
        "a motion as 52 curves, as Live Link Face writes them",
        True,
        ".csv",
        "gaussavatar.export.arkit",
        whole=True,
        counts="frames of 52 curves",
    ),
    "glb-head": Writer(
        "a motion of the tracked head's mesh as glTF, with 52 morph targets",
        True,
        ".glb",
        "gaussavatar.export.head_mesh",
        {"head": InputFile("the head's mesh; the avatar's capture/head.npz when not given")},
        whole=True,
        counts="frames",
    ),
}
