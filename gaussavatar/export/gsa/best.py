"""What a reader of a ``.gsa`` file checks of the best network and of the phone recogniser that it hears with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaussavatar.audio.features.hama_pack import hama_shapes
from gaussavatar.audio.own_range import KNOTS
from gaussavatar.export.gsa.hama import NOTICE
from gaussavatar.export.gsa.sections import WrongShapeError, taken

LONGEST = 1500
"""Rows that the recogniser may hear at once: 30 s."""


@dataclass(frozen=True)
class BestFacts:
    """``meta.best``, as far as a reader depends on it."""

    features: tuple[Literal["mel"], Literal["hama"]]
    window: Literal[33]
    width: int
    members: int
    hidden: int
    n_codes: int
    linear: bool
    own_range: bool
    share: float


@dataclass(frozen=True)
class HamaFacts:
    """``meta.hama``."""

    blocks: Literal[4]
    heads: Literal[4]
    blank: int
    temperature: float
    floor: float
    piece: int
    context: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    made: str


def check_best(best: BestFacts, hama: HamaFacts, codes: int, sections: Mapping[str, np.ndarray]) -> None:
    """Refuse a best network that does not fit the avatar, or sections that do not fit their header.

    Raises:
        KeyError: a section is missing.
        WrongShapeError: one is of another shape, or a number cannot be.
    """
    tokens, classes = taken(sections, "hama.classes", "f4", (None, len(hama.mean))).shape
    sane = best.n_codes == codes and best.width == 40 + classes and min(best.members, best.hidden) > 0
    sane &= 0 <= best.share <= 1 and len(hama.std) == classes and all(value > 0 for value in hama.std)
    sane &= 0 <= hama.blank < tokens and hama.temperature > 0 and hama.floor > 0
    if not sane or hama.piece < 1 or hama.context < 0 or hama.piece + 2 * hama.context > LONGEST:
        raise WrongShapeError("best: numbers that cannot be")
    for name, shape in hama_shapes(tokens).items():
        taken(sections, name, "f4" if name == "hama.mel" else "f2", shape)
    taken(sections, NOTICE, "u1", (None,))
    for name, (kind, shape) in _network_shapes(best).items():
        taken(sections, f"best.{name}", kind, shape)
    if "best.heard.components" in sections:
        count = len(taken(sections, "best.heard.components", "f4", (None, best.width)))
        for name, length in (("mean", best.width), ("low", count), ("high", count)):
            taken(sections, f"best.heard.{name}", "f4", (length,))


def _network_shapes(best: BestFacts) -> dict[str, tuple[str, tuple[int, ...]]]:
    m, h, n = best.members, best.hidden, best.n_codes
    layers = {"stem": (5 * best.width, h), "middle": (3 * h, h), "top": (3 * h, h), "head": (3 * h, n)}
    shapes = {f"{name}.weight": ("f2", (m, *shape)) for name, shape in layers.items()}
    shapes |= {f"{name}.bias": ("f4", (m, 1, outputs)) for name, (_, outputs) in layers.items()}
    if best.linear:
        shapes |= {"linear.weight": ("f2", (n, best.window * best.width)), "linear.bias": ("f4", (n,))}
    shapes |= {name: ("f4", (n,)) for name in ("centre", "spread")}
    if best.own_range:
        shapes |= {f"range.{name}": ("f4", (n,)) for name in ("gain", "opening", "toward")}
        shapes |= {f"range.{name}": ("f4", (KNOTS,)) for name in ("heard", "own")}
    return shapes
