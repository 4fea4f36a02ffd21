"""The curve between amounts of light and a picture's values (sRGB, IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def linear(colour: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b"]:
    """Light, 0..1, of a picture's values 0..1."""
    # Both branches are computed everywhere, and a slightly negative value has no such power.
    bright = ((np.maximum(colour, 0.0) + 0.055) / 1.055) ** 2.4
    return np.where(colour <= 0.04045, colour / 12.92, bright).clip(0, 1)


def displayed(light: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b"]:
    """A picture's values 0..1 of light; what is brighter than 1 is clipped."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
