"""What the demo actor looks like: identity, colours, and which seed gives which."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class ActorLook:
    """Identity weights of the built-in head by name, and sRGB colours 0..1."""

    identity: dict[str, float] = field(default_factory=dict)
    skin: Colour = (0.80, 0.60, 0.50)
    lips: Colour = (0.70, 0.42, 0.40)
    hair: Colour = (0.20, 0.13, 0.09)
    iris: Colour = (0.36, 0.42, 0.40)
    shirt: Colour = (0.20, 0.33, 0.42)
    wall: Colour = (0.62, 0.66, 0.66)
    freckles: int = 260
    seed: int = 0


BASE_IDENTITY = {
    "gender": 0.35,
    "caucasian": 0.5,
    "old": 0.05,
    "head-scale-vert": -0.15,
    "eyebrows-trans-up": -0.1,
    "eye-height2": 0.12,
    "cheek-bones": 0.25,
    "chin-width": -0.1,
}
VARIED = (
    *("nose-scale-horiz", "nose-hump", "nose-volume", "mouth-scale-horiz", "chin-height", "cheek-volume"),
    *("eye-scale", "ear-wing", "head-fat", "mouth-upperlip-volume", "mouth-lowerlip-volume", "chin-prominent"),
)
PALETTES = (
    ActorLook(),
    ActorLook(skin=(0.72, 0.51, 0.40), hair=(0.09, 0.07, 0.06), iris=(0.30, 0.19, 0.10), shirt=(0.42, 0.20, 0.18)),
    ActorLook(skin=(0.84, 0.66, 0.57), hair=(0.42, 0.28, 0.15), iris=(0.33, 0.45, 0.55), shirt=(0.22, 0.26, 0.24)),
)


def look_of_seed(seed: int) -> ActorLook:
    """The actor of a seed: one of three palettes, with small variations of the face."""
    palette = PALETTES[seed % len(PALETTES)]
    random = np.random.default_rng([seed, 11])
    identity = dict(BASE_IDENTITY)
    for name in VARIED:
        identity[name] = identity.get(name, 0.0) + float(np.clip(random.normal(0, 0.22), -0.45, 0.45))
    return ActorLook(
        identity, palette.skin, palette.lips, palette.hair, palette.iris, palette.shirt, palette.wall, seed=seed
    )


def to_linear(colour: np.ndarray | Colour) -> np.ndarray:
    """SRGB values 0..1 as linear light (gamma 2.2)."""
    return np.clip(np.asarray(colour, np.float64), 0, None) ** 2.2
