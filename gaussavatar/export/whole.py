"""The formats that carry the avatar itself, described without loading what writes them."""

from __future__ import annotations

from gaussavatar.export.writer import Choice, InputFile, Switch, Writer

QUALITY = Choice("normal", ("small", "normal", "full"), "bits of bases and video, by small, normal or full")
FEATURES = Choice(
    "light", ("light", "best"), "what it hears with, by light or best: best speaks whole sounds better, 4 MB more"
)
FORCE = Switch("also where an avatar's motion comes out more than 2 pixels off")

WHOLE = {
    "avatar": Writer(
        holds="the avatar itself, moving and speaking, as pages and gaussavatar.read_gsa read it (.gsa)",
        moves=True,
        suffix=".gsa",
        module="gaussavatar.export.avatar",
        options={"quality": QUALITY, "force": FORCE, "features": FEATURES},
        whole=True,
    ),
    "web": Writer(
        holds="a page that talks, one HTML file that opens from disk and from any server",
        moves=True,
        suffix=".html",
        module="gaussavatar.export.web.write",
        options={
            "quality": QUALITY,
            "force": FORCE,
            "features": FEATURES,
            "audio": InputFile("a sound that visitors can play"),
            "split": Switch("a folder with page, player and avatar file"),
        },
        whole=True,
        folder="split",
    ),
}
