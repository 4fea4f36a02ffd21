"""The formats that hold one state of an avatar as Gaussians, described without loading what writes them."""

from __future__ import annotations

from gaussavatar.export.writer import Option, Writer

FAINTEST = Option(0.0, 0.0, 1.0, "opacity below which a Gaussian is left out")
MOUTH = Option(1.1, 1.0, 2.0, "how many times as far from the filming camera the mouth lies; 1 leaves it")
"""Its default is ``BEHIND`` of ``states.py``, which says why."""


def still(name: str, holds: str) -> Writer:
    """A format whose writer is the file of its name in this package."""
    return Writer(
        holds,
        False,
        f".{name}",
        f"gaussavatar.export.{name}",
        {"faintest": FAINTEST},
        shaping={"mouth": MOUTH},
        marked=name != "splat",
    )


STILLS = {
    "ply": still("ply", "one state, as splat viewers and editors read it"),
    "splat": still("splat", "one state in 32 bytes per Gaussian, for viewers on web pages"),
    "spz": still("spz", "one state in about 14 bytes per Gaussian"),
    "sog": still("sog", "one state in about 13 bytes per Gaussian, for PlayCanvas and SuperSplat"),
    "glb": still("glb", "one state as glTF with KHR_gaussian_splatting"),
    "usd": still("usd", "one state as OpenUSD's ParticleField3DGaussianSplat; needs gaussavatar[usd]"),
}
